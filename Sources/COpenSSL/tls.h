// TLS contexts, connections, peers' names, keys and signing requests.
#pragma once
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

/// Our reasons to refuse a certificate that OpenSSL accepts; they travel as X509 verify results, above all of OpenSSL's.
enum {
    WEFT_VERIFY_NO_IDENTITY = 1001,
    WEFT_VERIFY_SEVERAL_IDENTITIES = 1002,
    WEFT_VERIFY_BAD_IDENTITY = 1003,
    WEFT_VERIFY_OTHER_DOMAIN = 1004,
    WEFT_VERIFY_WRONG_IDENTITY = 1005,
    WEFT_VERIFY_NOT_A_LEAF = 1006,
    WEFT_VERIFY_NO_PIN = 1007,
    WEFT_VERIFY_NO_CERTIFICATE = 1008,
};

// MARK: Contexts

/// TLS 1.3 only, no renegotiation, compression, tickets or early data; partial writes from moving buffers; read-ahead with
/// room for two records, so that one read(2) usually empties the socket; buffers released when idle; the chain as loaded.
/// - library: NULL for the ordinary one.
static inline SSL_CTX *weft_tls_context(OSSL_LIB_CTX *library, int is_server) {
    SSL_CTX *context = SSL_CTX_new_ex(library, NULL, is_server ? TLS_server_method() : TLS_client_method());
    if (!context) return NULL;
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_security_level(context, 2);
    SSL_CTX_set_max_early_data(context, 0);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 33 * 1024 + 512);
    return context;
}

/// A server's sessions stay in its own memory, at most `count`, for at most `seconds`; one ticket per handshake names them.
static inline void weft_tls_server_sessions(SSL_CTX *context, const unsigned char *scope, unsigned scope_count, long count,
                                            long seconds) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(context, count);
    SSL_CTX_set_timeout(context, seconds);
    SSL_CTX_set_session_id_context(context, scope, scope_count);
    SSL_CTX_set_num_tickets(context, 1);
}

/// A client's sessions go to the new-session callback alone.
static inline void weft_tls_client_sessions(SSL_CTX *context, long seconds) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_timeout(context, seconds);
}

static inline void weft_tls_no_sessions(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
}

/// Adds a root to the trusted store; any certificate of the bundle is an anchor, self-signed or not (SPIFFE X.509-SVID §5).
static inline int weft_tls_trust(SSL_CTX *context, X509 *root) {
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    return X509_STORE_add_cert(store, root);
}

static inline int weft_tls_chain_add(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

/// Names an authority to clients that choose among certificates.
static inline int weft_tls_client_ca(SSL_CTX *context, X509 *root) { return SSL_CTX_add_client_CA(context, root); }

static inline int weft_tls_context_slot(CRYPTO_EX_free *release) {
    return CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, release);
}

static inline int weft_tls_connection_slot(CRYPTO_EX_free *release) {
    return CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, NULL, NULL, release);
}

// MARK: Connections

/// Notes in the BIO's callback argument whether the last read(2) got less than it asked for.
static inline long weft_tls_note_read(
    BIO *bio, int operation, const char *bytes, size_t asked, int argi, long argl, int result, size_t *got) {
    (void)bytes, (void)argi, (void)argl;
    if (operation == (BIO_CB_READ | BIO_CB_RETURN)) BIO_set_callback_arg(bio, result <= 0 || *got < asked ? (char *)bio : NULL);
    return result;
}

/// Like SSL_set_fd, and from then on `weft_tls_is_drained` knows.
static inline int weft_tls_set_descriptor(SSL *connection, int descriptor) {
    if (!SSL_set_fd(connection, descriptor)) return 0;
    BIO_set_callback_ex(SSL_get_rbio(connection), weft_tls_note_read);
    return 1;
}

/// Whether the last read from the socket came back short: it was empty then, and the next byte makes an edge. Only the BIO
/// knows: for the rest of a record whose beginning it has, OpenSSL asks for exactly that much and gets all of it, whatever
/// stands behind it.
static inline int weft_tls_is_drained(SSL *connection) { return BIO_get_callback_arg(SSL_get_rbio(connection)) != NULL; }

static inline int weft_tls_session_reused(SSL *connection) { return SSL_session_reused(connection); }

/// The text of an ERR reason of the SSL library; NULL if it has none.
static inline const char *weft_tls_reason_text(int reason) {
    return ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason));
}

/// The newest error's reason in the SSL library, 0 if there is none; the queue is empty afterwards.
static inline int weft_tls_take_reason(void) {
    unsigned long error = ERR_peek_last_error();
    ERR_clear_error();
    if (error == 0 || ERR_SYSTEM_ERROR(error)) return 0;
    return ERR_GET_REASON(error);
}

// MARK: Peers

/// Copies the certificate's one URI name; its length, or minus a WEFT_VERIFY code.
///
/// The length is ASN.1's, so an embedded NUL is part of the name (and refused by whoever parses it).
static inline int weft_tls_uri_name(X509 *certificate, unsigned char *out, int capacity) {
    int critical = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
    if (!names) return critical == -1 ? -WEFT_VERIFY_NO_IDENTITY : -WEFT_VERIFY_BAD_IDENTITY;
    int result = -WEFT_VERIFY_NO_IDENTITY;
    for (int index = 0; index < sk_GENERAL_NAME_num(names); index++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
        if (name->type != GEN_URI) continue;
        if (result != -WEFT_VERIFY_NO_IDENTITY) {
            result = -WEFT_VERIFY_SEVERAL_IDENTITIES;
            break;
        }
        int count = ASN1_STRING_length(name->d.uniformResourceIdentifier);
        if (count <= 0 || count > capacity) {
            result = -WEFT_VERIFY_BAD_IDENTITY;
            break;
        }
        memcpy(out, ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), (size_t)count);
        result = count;
    }
    GENERAL_NAMES_free(names);
    return result;
}

/// Whether a certificate may identify a workload: no authority, may sign handshakes, and nothing else (X.509-SVID §4).
static inline int weft_tls_is_leaf(X509 *certificate) {
    uint32_t flags = X509_get_extension_flags(certificate);
    uint32_t usage = X509_get_key_usage(certificate);
    if (flags & (EXFLAG_CA | EXFLAG_INVALID)) return 0;
    return (flags & EXFLAG_KUSAGE) && (usage & KU_DIGITAL_SIGNATURE) && !(usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
}

/// Seconds since 1970, or LONG_MIN if the time is malformed.
static inline long weft_tls_unix_seconds(const ASN1_TIME *time) {
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    int good = epoch && ASN1_TIME_diff(&days, &seconds, epoch, time);
    ASN1_TIME_free(epoch);
    return good ? (long)days * 86400 + seconds : LONG_MIN;
}

static inline long weft_tls_not_before(X509 *certificate) { return weft_tls_unix_seconds(X509_get0_notBefore(certificate)); }
static inline long weft_tls_not_after(X509 *certificate) { return weft_tls_unix_seconds(X509_get0_notAfter(certificate)); }

/// Whether every certificate the session was verified with is valid at this moment.
static inline int weft_tls_peer_in_time(SSL *connection, X509 *leaf) {
    if (X509_cmp_current_time(X509_get0_notBefore(leaf)) >= 0 || X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0) return 0;
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(connection);
    for (int index = 0; chain && index < sk_X509_num(chain); index++) {
        X509 *each = sk_X509_value(chain, index);
        if (X509_cmp_current_time(X509_get0_notAfter(each)) <= 0) return 0;
    }
    return 1;
}

/// The first eight bytes of the issuer's key id (RFC 5280 §4.2.1.1), or of the certificate's own; 0 if it has none.
static inline uint64_t weft_tls_key_id(const ASN1_OCTET_STRING *id) {
    if (!id || ASN1_STRING_length(id) < 8) return 0;
    const unsigned char *bytes = ASN1_STRING_get0_data(id);
    uint64_t word = 0;
    for (int index = 0; index < 8; index++) word = word << 8 | bytes[index];
    return word;
}

static inline uint64_t weft_tls_issuer_key(X509 *certificate) { return weft_tls_key_id(X509_get0_authority_key_id(certificate)); }
static inline uint64_t weft_tls_own_key(X509 *certificate) { return weft_tls_key_id(X509_get0_subject_key_id(certificate)); }

/// Whether a chain leads from `leaf` over `between` to one of `roots`, in time unless `anytime`.
static inline int weft_tls_leads_to(X509 *leaf, const STACK_OF(X509) *between, X509_STORE *roots, int anytime) {
    X509_STORE_CTX *verification = X509_STORE_CTX_new();
    int good = verification && X509_STORE_CTX_init(verification, roots, leaf, (STACK_OF(X509) *)between);
    if (good && anytime) X509_STORE_CTX_set_flags(verification, X509_V_FLAG_NO_CHECK_TIME);
    good = good && X509_verify_cert(verification) == 1;
    X509_STORE_CTX_free(verification);
    ERR_clear_error();
    return good;
}

/// Whether a peer's certificate leads to a root that `context` trusts, at this moment.
static inline int weft_tls_trusts_peer(SSL_CTX *context, SSL *connection) {
    X509 *leaf = SSL_get0_peer_certificate(connection);
    return leaf && weft_tls_leads_to(leaf, SSL_get_peer_cert_chain(connection), SSL_CTX_get_cert_store(context), 0);
}

/// The certificates of the longest chain that has a digest.
enum { WEFT_TLS_DIGESTED_MAX = 8 };

/// A digest of all that the peer sent to prove itself, in its order; 0 if it is longer than chains are.
static inline int weft_tls_chain_digest(X509_STORE_CTX *verification, unsigned char out[32]) {
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(verification);
    int count = sent ? sk_X509_num(sent) : 0;
    if (count < 1 || count > WEFT_TLS_DIGESTED_MAX || sk_X509_value(sent, 0) != X509_STORE_CTX_get0_cert(verification)) return 0;
    unsigned char digests[WEFT_TLS_DIGESTED_MAX][32];
    for (int index = 0; index < count; index++)
        if (!X509_digest(sk_X509_value(sent, index), EVP_sha256(), digests[index], NULL)) return 0;
    SHA256(digests[0], (size_t)count * 32, out);
    return 1;
}

/// When the chain that was found good is so, its root included: from `*from`, until just before `*until`, in seconds since 1970.
static inline int weft_tls_chain_times(X509_STORE_CTX *verification, long *from, long *until) {
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(verification);
    *from = LONG_MIN, *until = LONG_MAX;
    if (!chain || sk_X509_num(chain) < 1) return 0;
    for (int index = 0; index < sk_X509_num(chain); index++) {
        long begins = weft_tls_not_before(sk_X509_value(chain, index)), ends = weft_tls_not_after(sk_X509_value(chain, index));
        if (begins == LONG_MIN || ends == LONG_MIN) return 0;
        if (begins > *from) *from = begins;
        if (ends < *until) *until = ends;
    }
    return 1;
}

/// Lets go of self-signed certificates that a peer with a good chain sent after its leaf: whoever trusts one has it, and each connection
/// would hold a copy, 4 KiB, for good. One that ends before the leaf stays, so that sessions end with it.
static inline void weft_tls_drop_roots(X509_STORE_CTX *verification) {
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(verification);
    X509 *leaf = X509_STORE_CTX_get0_cert(verification);
    for (int index = sent ? sk_X509_num(sent) - 1 : 0; index > 0; index--) {
        X509 *each = sk_X509_value(sent, index);
        if (each == leaf || X509_self_signed(each, 0) != 1) continue;
        if (ASN1_TIME_compare(X509_get0_notAfter(each), X509_get0_notAfter(leaf)) < 0) continue;
        X509_free(sk_X509_delete(sent, index));
    }
}

// MARK: Server names

static inline int weft_tls_set_server_name(SSL *connection, const char *name) { return (int)SSL_set_tlsext_host_name(connection, name); }

static inline void weft_tls_on_server_name(SSL_CTX *context, int (*callback)(SSL *, int *, void *)) {
    SSL_CTX_set_tlsext_servername_callback(context, callback);
}

static inline const char *weft_tls_server_name(SSL *connection) { return SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name); }

static inline void weft_tls_sha256(X509 *certificate, unsigned char out[32]) {
    unsigned count = 32;
    X509_digest(certificate, EVP_sha256(), out, &count);
}

/// Trusts, for this one verification, that certificate of the peer's chain whose SHA-256 is `pin`; 0 if none is.
/// `*trusted` must be freed with `weft_tls_free_chain` after the verification.
static inline int weft_tls_trust_pinned(X509_STORE_CTX *verification, const unsigned char pin[32], void **trusted) {
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(verification);
    for (int index = 0; sent && index < sk_X509_num(sent); index++) {
        X509 *each = sk_X509_value(sent, index);
        unsigned char digest[32];
        weft_tls_sha256(each, digest);
        if (CRYPTO_memcmp(digest, pin, sizeof digest) != 0) continue;
        STACK_OF(X509) *roots = sk_X509_new_null();
        if (!roots || !X509_up_ref(each)) return 0;
        sk_X509_push(roots, each);
        X509_STORE_CTX_set0_trusted_stack(verification, roots);
        X509_STORE_CTX_set_flags(verification, X509_V_FLAG_PARTIAL_CHAIN);
        *trusted = roots;
        return 1;
    }
    return 0;
}

static inline void weft_tls_free_chain(void *chain) { sk_X509_pop_free((STACK_OF(X509) *)chain, X509_free); }

// MARK: Keys and requests

static inline EVP_PKEY *weft_tls_generate_key(void) { return EVP_EC_gen("P-256"); }

/// A signing request for `uri`, signed with `key`; NULL on failure.
static inline X509_REQ *weft_tls_signing_request(EVP_PKEY *key, const char *uri) {
    X509_REQ *request = X509_REQ_new();
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    int good = request && names && name && text && ASN1_STRING_set(text, uri, (int)strlen(uri));
    if (good) {
        GENERAL_NAME_set0_value(name, GEN_URI, text);
        text = NULL;
        good = sk_GENERAL_NAME_push(names, name) > 0;
        if (good) name = NULL;
    }
    good = good && X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 1, X509V3_ADD_DEFAULT) == 1 &&
           X509_REQ_set_version(request, 0) && X509_REQ_set_pubkey(request, key) &&
           X509_REQ_add_extensions(request, extensions) && X509_REQ_sign(request, key, EVP_sha256()) > 0;
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    ASN1_IA5STRING_free(text);
    GENERAL_NAME_free(name);
    GENERAL_NAMES_free(names);
    if (good) return request;
    X509_REQ_free(request);
    return NULL;
}

/// What a memory BIO holds.
static inline long weft_bio_bytes(BIO *bio, char **bytes) { return BIO_get_mem_data(bio, bytes); }
