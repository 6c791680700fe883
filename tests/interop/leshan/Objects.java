import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.eclipse.leshan.client.object.Security;
import org.eclipse.leshan.client.object.Server;
import org.eclipse.leshan.client.resource.LwM2mObjectEnabler;
import org.eclipse.leshan.client.resource.ObjectsInitializer;
import org.eclipse.leshan.client.resource.SimpleInstanceEnabler;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.LwM2mId;
import org.eclipse.leshan.core.model.InvalidDDFFileException;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.ResourceModel.Operations;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.model.StaticModel;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.WriteResponse;
import org.eclipse.leshan.core.util.Hex;
import org.eclipse.leshan.core.util.datatype.ULong;

/**
 * What the client holds: Device (3), two Temperature sensors (3303), a BinaryAppDataContainer (19), and with its model an object of
 * every data type (33001), all values fixed
 * until a command or the server changes them.
 */
final class Objects {

    private static final int SHORT_SERVER_ID = 123;
    private static final int EVERY_TYPE = 33001;

    private final LwM2mModel model;
    private final Map<LwM2mPath, Instance> instances = new HashMap<>();
    private final List<LwM2mObjectEnabler> enablers;

    /**
     * {@code ddf} names a file with the model of object 33001, or is null. With {@code bootstrap} the server is a bootstrap
     * server, and the client has no other.
     */
    Objects(String serverUri, boolean bootstrap, long lifetime, String ddf) throws IOException, InvalidDDFFileException {
        List<ObjectModel> models = new ArrayList<>(ObjectLoader.loadDefault());
        if (ddf != null) {
            try (InputStream file = new FileInputStream(ddf)) {
                models.addAll(ObjectLoader.loadDdfFile(file, ddf));
            }
        }
        models.add(new ObjectModel(3303, "Temperature", "", "1.0", true, false, //
                resource(5601, "Min Measured Value", Operations.R, false, Type.FLOAT),
                resource(5602, "Max Measured Value", Operations.R, false, Type.FLOAT),
                resource(5605, "Reset Min and Max Measured Values", Operations.E, false, Type.NONE),
                resource(5700, "Sensor Value", Operations.R, false, Type.FLOAT),
                resource(5701, "Sensor Units", Operations.R, false, Type.STRING)));
        models.add(new ObjectModel(19, "BinaryAppDataContainer", "", "1.1", true, false, //
                resource(0, "Data", Operations.RW, true, Type.OPAQUE),
                resource(1, "Data Priority", Operations.RW, false, Type.INTEGER),
                resource(3, "Data Description", Operations.RW, false, Type.STRING)));
        model = new StaticModel(models);

        ObjectsInitializer initializer = new ObjectsInitializer(model);
        if (bootstrap) {
            initializer.setInstancesForObject(LwM2mId.SECURITY, Security.noSecBootstrap(serverUri));
            initializer.setClassForObject(LwM2mId.SERVER, Server.class);
        } else {
            initializer.setInstancesForObject(LwM2mId.SECURITY, Security.noSec(serverUri, SHORT_SERVER_ID));
            initializer.setInstancesForObject(LwM2mId.SERVER, new Server(SHORT_SERVER_ID, lifetime));
        }
        initializer.setInstancesForObject(LwM2mId.DEVICE, instance(LwM2mId.DEVICE, 0, Map.ofEntries( //
                Map.entry(0, "Lightship Labs"), //
                Map.entry(1, "Model 500"), //
                Map.entry(2, "LT-500-000-0001"), //
                Map.entry(3, "1.0.0"), //
                Map.entry(6, Map.of(0, 1L, 1, 5L)), //
                Map.entry(7, Map.of(0, 3800L, 1, 5000L)), //
                Map.entry(9, 95L), //
                Map.entry(11, Map.of(0, 0L)), //
                Map.entry(13, new Date(1_700_000_000_000L)), //
                Map.entry(14, "+01:00"), //
                Map.entry(15, "Europe/Berlin"), //
                Map.entry(16, "U"))));
        initializer.setInstancesForObject(3303, sensor(0, 21.5), sensor(1, 22.5));
        initializer.setInstancesForObject(19, instance(19, 0, Map.of( //
                0, Map.of(0, new byte[] { 1, 2, 3, 4 }), //
                1, 1L, //
                3, "container")));
        if (ddf != null) {
            initializer.setInstancesForObject(EVERY_TYPE, instance(EVERY_TYPE, 0, Map.of( //
                    0, "text", //
                    1, -42L, //
                    2, 2.5, //
                    3, true, //
                    4, new byte[] { 1, 2, (byte) 0xff }, //
                    5, new Date(1_700_000_000_000L), //
                    6, new ObjectLink(3303, 1), //
                    7, ULong.valueOf("18446744073709551615"), //
                    8, Map.of(0, 10L, 5, 15L))));
        }
        enablers = initializer.createAll();
    }

    LwM2mModel model() {
        return model;
    }

    List<LwM2mObjectEnabler> enablers() {
        return enablers;
    }

    /** Gives a single resource a new value, parsed by its type; observers are told. */
    void set(LwM2mPath path, String value) {
        instances.get(path.toObjectInstancePath()).set(path.getResourceId(), value);
    }

    /** Writes a resource's value as one word or text: bytes in hex, times in Unix seconds, links as 3:0, instances as {0=a, 1=b}. */
    static String text(LwM2mResource resource) {
        if (resource.isMultiInstances()) {
            Map<Integer, String> values = new TreeMap<>();
            resource.getInstances().forEach((id, instance) -> values.put(id, text(instance.getValue())));
            return values.toString();
        }
        return text(resource.getValue());
    }

    static String text(Object value) {
        if (value instanceof byte[] bytes) {
            return Hex.encodeHexString(bytes);
        }
        if (value instanceof ObjectLink link) {
            return link.getObjectId() + ":" + link.getObjectInstanceId();
        }
        return value instanceof Date date ? Long.toString(date.getTime() / 1_000) : value.toString();
    }

    private static ResourceModel resource(int id, String name, Operations operations, boolean multiple, Type type) {
        return new ResourceModel(id, name, operations, multiple, false, type, "", "", "");
    }

    private Instance sensor(int id, double value) {
        return instance(3303, id, Map.of(5601, value, 5602, value, 5700, value, 5701, "Cel"));
    }

    private Instance instance(int objectId, int id, Map<Integer, Object> values) {
        Instance instance = new Instance(id, values);
        instances.put(new LwM2mPath(objectId, id), instance);
        return instance;
    }

    /** An instance that prints what the server does to it. */
    public static final class Instance extends SimpleInstanceEnabler {

        /** For instances that the server creates. */
        public Instance() {
        }

        private Instance(int id, Map<Integer, Object> values) {
            super(id, values);
        }

        @Override
        public WriteResponse write(LwM2mServer server, boolean replace, int resourceId, LwM2mResource value) {
            WriteResponse response = super.write(server, replace, resourceId, value);
            if (response.isSuccess()) {
                TestClient.event("written " + getResourcePath(resourceId) + " " + text(value));
            }
            return response;
        }

        @Override
        public ExecuteResponse execute(LwM2mServer server, int resourceId, Arguments arguments) {
            String text = arguments.isEmpty() ? "" : " " + arguments.serialize();
            TestClient.event("executed " + getResourcePath(resourceId) + text);
            return ExecuteResponse.success();
        }

        @Override
        public List<Integer> getAvailableResourceIds(ObjectModel model) {
            // What has a value, and what can be executed: a resource of the model without value is not there.
            return super.getAvailableResourceIds(model).stream()
                    .filter(id -> resources.containsKey(id) || model.resources.get(id).operations.isExecutable())
                    .toList();
        }

        private void set(int resourceId, String text) {
            Type type = getModel().resources.get(resourceId).type;
            Object value = switch (type) {
            case BOOLEAN -> Boolean.valueOf(text);
            case FLOAT -> Double.valueOf(text);
            case INTEGER -> Long.valueOf(text);
            case OPAQUE -> Hex.decodeHex(text.toCharArray());
            case TIME -> new Date(1_000 * Long.parseLong(text));
            case STRING -> text;
            default -> throw new IllegalArgumentException("cannot set a value of type " + type);
            };
            resources.put(resourceId, LwM2mSingleResource.newResource(resourceId, value, type));
            fireResourceChange(resourceId);
        }
    }
}
