// Keys, signing requests and certificates: what OpenSSL offers as macros, and the few steps whose C types Swift cannot say.
// Functions return 1 (or a pointer) on success and 0 (or NULL) on failure, like OpenSSL's own.
#pragma once
#include <limits.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/// A fresh P-256 key.
static inline EVP_PKEY *weft_key_generate_p256(void) { return EVP_EC_gen("P-256"); }

/// The bits of an RSA key's public exponent; 0 if there is none.
static inline int weft_key_rsa_exponent_bits(const EVP_PKEY *key) {
    BIGNUM *e = NULL;
    if (!EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e)) return 0;
    int bits = BN_num_bits(e);
    BN_free(e);
    return bits;
}

/// What a memory BIO holds; valid until it is written to or freed.
static inline long weft_bio_data(BIO *bio, char **data) { return BIO_get_mem_data(bio, data); }

/// Adds an extension by its textual value, which must be a constant of ours: the syntax has commas that a name could abuse.
static inline int weft_certificate_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (!extension) return 0;
    int ok = X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return ok;
}

/// Sets exactly one subject alternative name, a URI; critical if the subject is empty (RFC 5280 §4.2.1.6).
static inline int weft_certificate_set_uri(X509 *certificate, const char *uri, int critical) {
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    int ok = 0;
    if (names && name && text && ASN1_STRING_set(text, uri, -1)) {
        GENERAL_NAME_set0_value(name, GEN_URI, text);
        text = NULL;
        if (sk_GENERAL_NAME_push(names, name)) {
            name = NULL;
            ok = X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, critical, X509V3_ADD_DEFAULT) == 1;
        }
    }
    ASN1_IA5STRING_free(text);
    GENERAL_NAME_free(name);
    GENERAL_NAMES_free(names);
    return ok;
}

/// The subject alternative names: how many there are in all, and the first URI (NULL if none; free it with OPENSSL_free).
/// A URI with a NUL inside counts as none.
static inline int weft_certificate_names(const X509 *certificate, char **uri) {
    *uri = NULL;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    if (!names) return 0;
    int count = sk_GENERAL_NAME_num(names);
    for (int i = 0; i < count && !*uri; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) continue;
        const ASN1_STRING *text = name->d.uniformResourceIdentifier;
        size_t length = (size_t)ASN1_STRING_length(text);
        const unsigned char *data = ASN1_STRING_get0_data(text);
        if (memchr(data, 0, length)) continue;
        *uri = OPENSSL_strndup((const char *)data, length);
    }
    GENERAL_NAMES_free(names);
    return count;
}

/// A random positive serial of at most 128 bits (RFC 5280 §4.1.2.2 asks for a positive one of at most 160).
static inline int weft_certificate_set_random_serial(X509 *certificate) {
    BIGNUM *serial = BN_new();
    int ok = serial && BN_rand(serial, 128, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY)
        && BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate)) != NULL;
    BN_free(serial);
    return ok;
}

/// Seconds since 1970 of a certificate's time; 0 if it cannot be read.
static inline long long weft_time_seconds(const ASN1_TIME *time) {
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    int ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, time);
    ASN1_TIME_free(epoch);
    return ok ? (long long)days * 86400 + seconds : 0;
}

/// Sets a certificate's time from seconds since 1970.
static inline int weft_time_set(ASN1_TIME *time, long long seconds) { return ASN1_TIME_set(time, (time_t)seconds) != NULL; }

/// A signing request for a key, signed with it; it names nobody, since the authority takes only the key from it.
static inline X509_REQ *weft_request_make(EVP_PKEY *key) {
    X509_REQ *request = X509_REQ_new();
    if (request && X509_REQ_set_version(request, X509_REQ_VERSION_1) && X509_REQ_set_pubkey(request, key)
        && X509_REQ_sign(request, key, EVP_sha256()))
        return request;
    X509_REQ_free(request);
    return NULL;
}
