import java.net.InetSocketAddress;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import org.eclipse.californium.core.coap.MessageObserverAdapter;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.coap.Token;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.core.network.interceptors.MessageInterceptor;
import org.eclipse.californium.elements.Connector;
import org.eclipse.californium.elements.RawData;
import org.eclipse.californium.elements.RawDataChannel;
import org.eclipse.californium.elements.UDPConnector;
import org.eclipse.californium.elements.UdpEndpointContext;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.leshan.client.endpoint.ClientEndpointToolbox;
import org.eclipse.leshan.client.servers.ServerInfo;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mDecoder;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointFactory;
import org.eclipse.leshan.transport.californium.client.endpoint.coap.CoapClientEndpointFactory;
import org.eclipse.leshan.transport.californium.client.endpoint.coap.CoapClientProtocolProvider;

/**
 * The client's side of the wire: binds the wanted port, can be cut, and prints which notifications were sent and which
 * of them the server acknowledged.
 */
final class Wire extends CoapClientProtocolProvider {

    private final int port;
    private final LwM2mModel model;
    private volatile boolean frozen;

    Wire(int port, LwM2mModel model) {
        this.port = port;
        this.model = model;
    }

    void freeze(boolean freeze) {
        frozen = freeze;
    }

    @Override
    public CaliforniumClientEndpointFactory createDefaultEndpointFactory() {
        return new CoapClientEndpointFactory() {

            @Override
            protected CoapEndpoint.Builder createEndpointBuilder(InetSocketAddress address, ServerInfo server,
                    Configuration configuration, ClientEndpointToolbox toolbox) {
                InetSocketAddress local = new InetSocketAddress(address.getAddress(), port);
                return new CoapEndpoint.Builder() {
                    @Override
                    public CoapEndpoint build() {
                        CoapEndpoint endpoint = super.build();
                        endpoint.addInterceptor(new Notifications());
                        return endpoint;
                    }
                }.setConnector(createConnector(local, configuration)).setConfiguration(configuration);
            }

            @Override
            protected Connector createConnector(InetSocketAddress address, Configuration configuration) {
                return new CuttableConnector(address, configuration);
            }
        };
    }

    /** A UDP socket that swallows everything while the wire is cut. */
    private final class CuttableConnector extends UDPConnector {

        private CuttableConnector(InetSocketAddress address, Configuration configuration) {
            super(address, configuration);
        }

        @Override
        public void send(RawData message) {
            if (frozen) {
                // For the layers above it went out: their retransmission runs.
                message.onContextEstablished(new UdpEndpointContext(message.getInetSocketAddress()));
                message.onSent();
            } else {
                super.send(message);
            }
        }

        @Override
        public void setRawDataReceiver(RawDataChannel receiver) {
            super.setRawDataReceiver(receiver == null ? null : message -> {
                if (!frozen) {
                    receiver.receiveData(message);
                }
            });
        }
    }

    /** Follows observations by their tokens. */
    private final class Notifications implements MessageInterceptor {

        /** Paths asked to be observed, then paths whose first answer is on its way. */
        private final Map<Token, LwM2mPath> asked = new ConcurrentHashMap<>();
        private final Map<Token, LwM2mPath> observed = new ConcurrentHashMap<>();

        @Override
        public void receiveRequest(Request request) {
            if (request.isObserve()) {
                asked.put(request.getToken(), new LwM2mPath("/" + request.getOptions().getUriPathString()));
            }
        }

        @Override
        public void sendResponse(Response response) {
            Token token = response.getToken();
            LwM2mPath path = asked.remove(token);
            if (path != null) {
                if (response.isNotification()) {
                    observed.put(token, path);
                    TestClient.event("observed " + path);
                }
                return;
            }
            path = observed.get(token);
            // A retransmission is the same object and carries its observer already.
            if (path == null || !response.isNotification()
                    || response.getMessageObservers().stream().anyMatch(Acknowledgement.class::isInstance)) {
                return;
            }
            Map<LwM2mPath, LwM2mNode> nodes = nodes(path, response);
            response.addMessageObserver(new Acknowledgement(nodes));
            print("notified", nodes);
        }
    }

    /** The values of a notification; of one in blocks, of which only the first is there, a text that says so. */
    private Map<LwM2mPath, LwM2mNode> nodes(LwM2mPath path, Response response) {
        DefaultLwM2mDecoder decoder = new DefaultLwM2mDecoder();
        ContentFormat format = ContentFormat.fromCode(response.getOptions().getContentFormat());
        if (response.getOptions().hasBlock2() && response.getOptions().getBlock2().isM()) {
            return Map.of(path, LwM2mSingleResource.newStringResource(0, "in blocks"));
        }
        return path.isRoot() ? decoder.decodeNodes(response.getPayload(), format, null, null, model)
                : Map.of(path, decoder.decode(response.getPayload(), format, null, path, model));
    }

    /** Prints what becomes of one notification. */
    private static final class Acknowledgement extends MessageObserverAdapter {

        private final Map<LwM2mPath, LwM2mNode> nodes;

        private Acknowledgement(Map<LwM2mPath, LwM2mNode> nodes) {
            this.nodes = nodes;
        }

        @Override
        public void onAcknowledgement() {
            print("acked", nodes);
        }

        @Override
        public void onReject() {
            print("rejected", nodes);
        }

        @Override
        public void onTimeout() {
            print("unacked", nodes);
        }
    }

    private static void print(String event, Map<LwM2mPath, LwM2mNode> nodes) {
        nodes.forEach((path, node) -> print(event, path, node));
    }

    /** Prints one event for each resource of a node. */
    private static void print(String event, LwM2mPath path, LwM2mNode node) {
        if (node instanceof LwM2mObject object) {
            object.getInstances().forEach((id, instance) -> print(event, path.append(id), instance));
        } else if (node instanceof LwM2mObjectInstance instance) {
            instance.getResources().forEach((id, resource) -> print(event, path.append(id), resource));
        } else if (node instanceof LwM2mResource resource) {
            TestClient.event(event + " " + path + " " + Objects.text(resource));
        } else if (node instanceof LwM2mResourceInstance instance) {
            TestClient.event(event + " " + path + " " + Objects.text(instance.getValue()));
        }
    }
}
