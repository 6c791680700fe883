import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.LeshanClientBuilder;
import org.eclipse.leshan.client.engine.DefaultRegistrationEngineFactory;
import org.eclipse.leshan.client.observer.LwM2mClientObserverAdapter;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mDecoder;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mEncoder;
import org.eclipse.leshan.core.node.codec.LwM2mValueChecker;
import org.eclipse.leshan.core.request.BootstrapRequest;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.DeregisterRequest;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.UpdateRequest;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointsProvider;

/**
 * A LwM2M client under remote control: commands come as lines on standard input, events go as lines to standard output.
 *
 * <p>
 * Options are arguments of the form {@code name=value}:
 * <table>
 * <tr><td>server</td><td>URI of the server, {@code coap://host:port} (required)</td></tr>
 * <tr><td>endpoint</td><td>endpoint name (required)</td></tr>
 * <tr><td>bootstrap</td><td>whether the server is a bootstrap server, default false</td></tr>
 * <tr><td>lifetime</td><td>seconds, default 300</td></tr>
 * <tr><td>port</td><td>local UDP port, default 0 = any</td></tr>
 * <tr><td>update_every</td><td>seconds between Updates; default what Leshan derives from the lifetime</td></tr>
 * <tr><td>queue_mode</td><td>default false</td></tr>
 * <tr><td>model</td><td>DDF file of object 33001, which then is there as well</td></tr>
 * <tr><td>formats</td><td>content formats by number, separated by commas, beside text and opaque; default all
 *     that Leshan has</td></tr>
 * </table>
 *
 * <p>
 * Commands: {@code set PATH VALUE}, {@code send FORMAT PATH} (FORMAT is
 * a number), {@code update}, {@code deregister}, {@code stop} (fall silent and
 * close the port), {@code start}, {@code freeze} (keep the port open, neither receive nor send), {@code thaw},
 * {@code quit}. The end of the input is {@code quit}.
 *
 * <p>
 * Events: {@code bootstrapped}, {@code bootstrap-failed CODE}, {@code registered ID}, {@code registration-failed CODE}, {@code registration-timeout}, {@code updated},
 * {@code update-failed CODE}, {@code update-timeout}, {@code deregistered}, {@code deregistration-failed CODE},
 * {@code deregistration-timeout}, {@code observed PATH}, {@code notified PATH VALUE}, {@code acked PATH VALUE},
 * {@code rejected PATH VALUE}, {@code unacked PATH VALUE}, {@code written PATH VALUE}, {@code executed PATH [ARGUMENTS]}, {@code sent PATH},
 * {@code send-failed PATH REASON}, {@code error TEXT}. CODE has the form {@code 4.03};
 * VALUE of a notification in blocks is {@code in blocks}.
 */
public final class TestClient {

    private final LeshanClient client;
    private final Objects objects;
    private final Wire wire;

    private TestClient(Map<String, String> options) throws Exception {
        long lifetime = Long.parseLong(options.getOrDefault("lifetime", "300"));
        boolean bootstrap = Boolean.parseBoolean(options.getOrDefault("bootstrap", "false"));
        objects = new Objects(required(options, "server"), bootstrap, lifetime, options.get("model"));
        wire = new Wire(Integer.parseInt(options.getOrDefault("port", "0")), objects.model());

        DefaultRegistrationEngineFactory engine = new DefaultRegistrationEngineFactory();
        engine.setRetryWaitingTimeInMs(2_000);
        engine.setDeregistrationTimeoutInMs(30_000);
        engine.setQueueMode(Boolean.parseBoolean(options.getOrDefault("queue_mode", "false")));
        if (options.containsKey("update_every")) {
            engine.setCommunicationPeriod(1_000 * Integer.parseInt(options.get("update_every")));
        }

        CaliforniumClientEndpointsProvider.Builder endpoints = new CaliforniumClientEndpointsProvider.Builder(wire);
        Configuration coap = endpoints.createDefaultConfiguration();
        // Every notification is a CON, also where the Observe request was none.
        coap.set(CoapConfig.NOTIFICATION_CHECK_INTERVAL_COUNT, 1);
        endpoints.setConfiguration(coap);

        LeshanClientBuilder builder = new LeshanClientBuilder(required(options, "endpoint"));
        builder.setObjects(objects.enablers());
        builder.setRegistrationEngineFactory(engine);
        builder.setEndpointsProviders(endpoints.build());
        if (options.containsKey("formats")) {
            Set<ContentFormat> formats = Stream.of(options.get("formats").split(","))
                    .map(code -> ContentFormat.fromCode(Integer.parseInt(code))).collect(Collectors.toSet());
            // Every client has these, and none announces them.
            formats.addAll(List.of(ContentFormat.TEXT, ContentFormat.OPAQUE));
            var encoders = new HashMap<>(DefaultLwM2mEncoder.getDefaultNodeEncoders(false));
            encoders.keySet().retainAll(formats);
            builder.setEncoder(new DefaultLwM2mEncoder(encoders, DefaultLwM2mEncoder.getDefaultPathEncoder(),
                    new LwM2mValueChecker()));
            var decoders = new HashMap<>(DefaultLwM2mDecoder.getDefaultNodeDecoders(false));
            decoders.keySet().retainAll(formats);
            builder.setDecoder(new DefaultLwM2mDecoder(decoders));
        }
        client = builder.build();
        client.addObserver(new LifecycleEvents());
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (String argument : arguments) {
            String[] option = argument.split("=", 2);
            options.put(option[0], option.length == 2 ? option[1] : "");
        }
        TestClient testClient = new TestClient(options);
        testClient.client.start();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null && !line.equals("quit"); line = commands.readLine()) {
            try {
                testClient.execute(line.split(" ", 3));
            } catch (RuntimeException e) {
                event("error " + line + ": " + e);
            }
        }
        // Nothing is said to the server, as when the power goes.
        Runtime.getRuntime().halt(0);
    }

    private void execute(String[] command) {
        switch (command[0]) {
        case "set" -> objects.set(new LwM2mPath(command[1]), command[2]);
        case "send" -> send(ContentFormat.fromCode(Integer.parseInt(command[1])), command[2]);
        case "update" -> client.triggerRegistrationUpdate();
        case "deregister" -> client.stop(true);
        case "stop" -> client.stop(false);
        case "start" -> client.start();
        case "freeze" -> wire.freeze(true);
        case "thaw" -> wire.freeze(false);
        default -> event("error unknown command " + command[0]);
        }
    }

    private void send(ContentFormat format, String path) {
        for (LwM2mServer server : client.getRegisteredServers().values()) {
            client.getSendService().sendData(server, format, List.of(path), 30_000,
                    response -> event(response.isSuccess() ? "sent " + path
                            : "send-failed " + path + " " + dotted(response.getCode())),
                    error -> event("send-failed " + path + " " + error));
        }
    }

    /** Writes one line to standard output, whole even when several threads write. */
    static void event(String line) {
        System.out.println(line);
    }

    private static String required(Map<String, String> options, String name) {
        String value = options.get(name);
        if (value == null) {
            throw new IllegalArgumentException("option " + name + " is missing");
        }
        return value;
    }

    private static String dotted(ResponseCode code) {
        return String.format("%d.%02d", code.getCode() / 100, code.getCode() % 100);
    }

    /** Prints what becomes of the registration. */
    private static final class LifecycleEvents extends LwM2mClientObserverAdapter {

        @Override
        public void onBootstrapSuccess(LwM2mServer server, BootstrapRequest request) {
            event("bootstrapped");
        }

        @Override
        public void onBootstrapFailure(LwM2mServer server, BootstrapRequest request, ResponseCode code, String text,
                Exception cause) {
            event("bootstrap-failed " + (code == null ? cause : dotted(code)));
        }

        @Override
        public void onRegistrationSuccess(LwM2mServer server, RegisterRequest request, String registrationId) {
            event("registered " + registrationId);
        }

        @Override
        public void onRegistrationFailure(LwM2mServer server, RegisterRequest request, ResponseCode code, String text,
                Exception cause) {
            event("registration-failed " + (code == null ? cause : dotted(code)));
        }

        @Override
        public void onRegistrationTimeout(LwM2mServer server, RegisterRequest request) {
            event("registration-timeout");
        }

        @Override
        public void onUpdateSuccess(LwM2mServer server, UpdateRequest request) {
            event("updated");
        }

        @Override
        public void onUpdateFailure(LwM2mServer server, UpdateRequest request, ResponseCode code, String text,
                Exception cause) {
            event("update-failed " + (code == null ? cause : dotted(code)));
        }

        @Override
        public void onUpdateTimeout(LwM2mServer server, UpdateRequest request) {
            event("update-timeout");
        }

        @Override
        public void onDeregistrationSuccess(LwM2mServer server, DeregisterRequest request) {
            event("deregistered");
        }

        @Override
        public void onDeregistrationFailure(LwM2mServer server, DeregisterRequest request, ResponseCode code,
                String text, Exception cause) {
            event("deregistration-failed " + (code == null ? cause : dotted(code)));
        }

        @Override
        public void onDeregistrationTimeout(LwM2mServer server, DeregisterRequest request) {
            event("deregistration-timeout");
        }

        @Override
        public void onUnexpectedError(Throwable error) {
            event("error " + error);
        }
    }
}
