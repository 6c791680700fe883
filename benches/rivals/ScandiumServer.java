import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.eclipse.californium.elements.RawData;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.elements.util.SslContextUtil;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.californium.scandium.config.DtlsConfig.DtlsRole;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.californium.scandium.dtls.CertificateType;
import org.eclipse.californium.scandium.dtls.cipher.CipherSuite;
import org.eclipse.californium.scandium.dtls.pskstore.AdvancedMultiPskStore;
import org.eclipse.californium.scandium.dtls.x509.SingleCertificateProvider;
import org.eclipse.californium.scandium.dtls.x509.StaticNewAdvancedCertificateVerifier;

/**
 * A DTLS server on Eclipse Californium's Scandium that sends back what it receives.
 *
 * Arguments, each name=value: key (of every identity, text), identities (how many, `device-0` and on), chain (PEM of key
 * and certificates), trust (PEM). Prints `serving PORT`.
 */
public final class ScandiumServer {
    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            options.put(parts[0], parts[1]);
        }
        DtlsConfig.register();
        DtlsConnectorConfig.Builder builder = new DtlsConnectorConfig.Builder(new Configuration());
        builder.set(DtlsConfig.DTLS_ROLE, DtlsRole.SERVER_ONLY);
        builder.set(DtlsConfig.DTLS_RECOMMENDED_CIPHER_SUITES_ONLY, false);
        builder.setAsList(
            DtlsConfig.DTLS_CIPHER_SUITES,
            CipherSuite.TLS_PSK_WITH_AES_128_CCM_8,
            CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8);
        builder.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, 8);
        builder.setAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        AdvancedMultiPskStore keys = new AdvancedMultiPskStore();
        byte[] key = options.get("key").getBytes(StandardCharsets.US_ASCII);
        for (int device = 0; device < Integer.parseInt(options.get("identities")); device++) {
            keys.setKey("device-" + device, key);
        }
        builder.setAdvancedPskStore(keys);
        SslContextUtil.Credentials own = SslContextUtil.loadCredentials(options.get("chain"));
        builder.setCertificateIdentityProvider(
            new SingleCertificateProvider(
                own.getPrivateKey(),
                own.getCertificateChain(),
                CertificateType.RAW_PUBLIC_KEY,
                CertificateType.X_509));
        builder.setAdvancedCertificateVerifier(
            StaticNewAdvancedCertificateVerifier.builder()
                .setTrustedCertificates(SslContextUtil.loadTrustedCertificates(options.get("trust")))
                .setTrustAllRPKs()
                .setSupportedCertificateTypes(Arrays.asList(CertificateType.RAW_PUBLIC_KEY, CertificateType.X_509))
                .build());
        DTLSConnector connector = new DTLSConnector(builder.build());
        connector.setRawDataReceiver(
            data -> connector.send(RawData.outbound(data.getBytes(), data.getEndpointContext(), null, false)));
        connector.start();
        System.out.println("serving " + connector.getAddress().getPort());
        System.out.flush();
        Thread.currentThread().join();
    }
}
