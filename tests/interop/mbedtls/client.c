/*
 * A DTLS 1.2 client on Mbed TLS.
 *
 * Arguments, each name=value: port; suite (code point, hexadecimal); identity and key, or certificate and
 * private (files); cid (length of its connection id, absent: none); ems, etm (0: not offered);
 * fragment (code of max_fragment_length). Lines of standard input are sent, and what comes is printed after
 * "received". The line ":sleep" puts the association into bytes and takes it up again from these.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mbedtls/ctr_drbg.h"
#include "mbedtls/entropy.h"
#include "mbedtls/net_sockets.h"
#include "mbedtls/pk.h"
#include "mbedtls/ssl.h"
#include "mbedtls/timing.h"
#include "mbedtls/x509_crt.h"
#include "psa/crypto.h"

static int count;
static char **arguments;

static const char *option(const char *name)
{
    size_t length = strlen(name);
    for (int index = 1; index < count; index++) {
        if (strncmp(arguments[index], name, length) == 0 && arguments[index][length] == '=') {
            return arguments[index] + length + 1;
        }
    }
    return NULL;
}

static void check(const char *what, int result)
{
    if (result < 0) {
        printf("failed %s -0x%04x\n", what, -result);
        exit(1);
    }
}

static mbedtls_ssl_config config;
static mbedtls_ssl_context ssl;
static mbedtls_net_context net;
static mbedtls_timing_delay_context timer;

static void set_up(void)
{
    mbedtls_ssl_init(&ssl);
    check("setup", mbedtls_ssl_setup(&ssl, &config));
    mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, NULL, mbedtls_net_recv_timeout);
    mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
}

static void sleep_and_wake(void)
{
    static unsigned char saved[4096];
    size_t length = 0;
    check("save", mbedtls_ssl_context_save(&ssl, saved, sizeof saved, &length));
    mbedtls_ssl_free(&ssl);
    set_up();
    check("load", mbedtls_ssl_context_load(&ssl, saved, length));
    printf("awake\n");
}

int main(int argc, char **argv)
{
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_x509_crt certificate;
    mbedtls_pk_context key;
    int suites[2] = { 0, 0 };
    char line[2048];

    count = argc;
    arguments = argv;
    setvbuf(stdout, NULL, _IOLBF, 0);
    check("psa", -(psa_crypto_init() != PSA_SUCCESS));
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    check("random", mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0));
    mbedtls_ssl_config_init(&config);
    check("defaults", mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                                  MBEDTLS_SSL_PRESET_DEFAULT));
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
    /* The server's certificate is its own. */
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_read_timeout(&config, 10000);
    suites[0] = (int) strtol(option("suite"), NULL, 16);
    mbedtls_ssl_conf_ciphersuites(&config, suites);
    if (option("identity") != NULL) {
        const char *identity = option("identity"), *psk = option("key");
        check("key", mbedtls_ssl_conf_psk(&config, (const unsigned char *) psk, strlen(psk),
                                          (const unsigned char *) identity, strlen(identity)));
    } else {
        mbedtls_x509_crt_init(&certificate);
        mbedtls_pk_init(&key);
        check("certificate", mbedtls_x509_crt_parse_file(&certificate, option("certificate")));
        check("private", mbedtls_pk_parse_keyfile(&key, option("private"), NULL, mbedtls_ctr_drbg_random, &random));
        check("own", mbedtls_ssl_conf_own_cert(&config, &certificate, &key));
    }
    if (option("ems") != NULL) {
        mbedtls_ssl_conf_extended_master_secret(&config, (char) atoi(option("ems")));
    }
    if (option("etm") != NULL) {
        mbedtls_ssl_conf_encrypt_then_mac(&config, (char) atoi(option("etm")));
    }
    if (option("fragment") != NULL) {
        check("fragment", mbedtls_ssl_conf_max_frag_len(&config, (unsigned char) atoi(option("fragment"))));
    }
    size_t cid_length = option("cid") == NULL ? 0 : (size_t) atoi(option("cid"));
    check("cid", mbedtls_ssl_conf_cid(&config, cid_length, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE));

    mbedtls_net_init(&net);
    check("connect", mbedtls_net_connect(&net, "127.0.0.1", option("port"), MBEDTLS_NET_PROTO_UDP));
    set_up();
    if (option("cid") != NULL) {
        check("own cid", mbedtls_ssl_set_cid(&ssl, MBEDTLS_SSL_CID_ENABLED, (const unsigned char *) "its own connection id",
                                             cid_length));
    }
    check("handshake", mbedtls_ssl_handshake(&ssl));
    int enabled = MBEDTLS_SSL_CID_DISABLED;
    unsigned char peer[MBEDTLS_SSL_CID_OUT_LEN_MAX];
    size_t peer_length = 0;
    check("peer cid", mbedtls_ssl_get_peer_cid(&ssl, &enabled, peer, &peer_length));
    printf("connected, connection id %d of %u bytes\n", enabled, (unsigned) peer_length);

    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (strcmp(line, ":sleep") == 0) {
            sleep_and_wake();
            continue;
        }
        check("write", mbedtls_ssl_write(&ssl, (const unsigned char *) line, strlen(line)));
        int length = mbedtls_ssl_read(&ssl, (unsigned char *) line, sizeof line - 1);
        check("read", length);
        line[length] = 0;
        printf("received %s\n", line);
    }
    mbedtls_ssl_close_notify(&ssl);
    return 0;
}
