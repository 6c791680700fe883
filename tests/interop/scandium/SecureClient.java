import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.spec.ECGenParameterSpec;
import java.util.HashMap;
import java.util.Map;
import org.eclipse.californium.elements.AddressEndpointContext;
import org.eclipse.californium.elements.RawData;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.californium.scandium.config.DtlsConfig.DtlsRole;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.californium.scandium.dtls.cipher.CipherSuite;
import org.eclipse.californium.scandium.dtls.pskstore.SinglePskStore;
import org.eclipse.californium.scandium.dtls.x509.SingleCertificateProvider;
import org.eclipse.californium.scandium.dtls.x509.StaticCertificateVerifier;

/**
 * A DTLS client on Eclipse Californium's Scandium.
 *
 * Arguments, each name=value: port, suite, cid (length of its connection id), identity and key (absent: a raw
 * public key of its own). Lines of standard input are sent, and what comes is printed.
 */
public final class SecureClient {
    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            options.put(parts[0], parts[1]);
        }
        DtlsConfig.register();
        DtlsConnectorConfig.Builder builder = new DtlsConnectorConfig.Builder(new Configuration());
        builder.set(DtlsConfig.DTLS_ROLE, DtlsRole.CLIENT_ONLY);
        builder.set(DtlsConfig.DTLS_RECOMMENDED_CIPHER_SUITES_ONLY, false);
        builder.setAsList(DtlsConfig.DTLS_CIPHER_SUITES, CipherSuite.getTypeByName(options.get("suite")));
        builder.setAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        builder.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, Integer.valueOf(options.get("cid")));
        if (options.containsKey("identity")) {
            byte[] key = options.get("key").getBytes(StandardCharsets.US_ASCII);
            builder.setPskStore(new SinglePskStore(options.get("identity"), key));
        } else {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            KeyPair pair = generator.generateKeyPair();
            builder.setCertificateIdentityProvider(new SingleCertificateProvider(pair.getPrivate(), pair.getPublic()));
            builder.setCertificateVerifier(StaticCertificateVerifier.builder().setTrustAllRPKs().build());
        }
        DTLSConnector connector = new DTLSConnector(builder.build());
        connector.setRawDataReceiver(data -> {
            System.out.println("received " + new String(data.getBytes(), StandardCharsets.US_ASCII));
            System.out.flush();
        });
        connector.start();
        InetSocketAddress server =
            new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(options.get("port")));
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            byte[] bytes = line.getBytes(StandardCharsets.US_ASCII);
            connector.send(RawData.outbound(bytes, new AddressEndpointContext(server), null, false));
        }
    }
}
