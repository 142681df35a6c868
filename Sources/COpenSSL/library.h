// A library context of OpenSSL's with what TLS needs and nothing else.
//
// OpenSSL 3.0 and 3.1 read the key in a peer's certificate by asking each decoder they have whether it fits any kind of key there is,
// and copy the list of all algorithms to do so: a fifth of a handshake's instructions, under locks that all threads share. Where
// little is to be asked little is copied. 3.2 remembers the answer.
#pragma once
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <string.h>

enum { WEFT_TLS_PICKS = 6, WEFT_TLS_NAMES_MAX = 9 };

/// What is taken of an operation's algorithms: those with one of these names and the property. All must be there.
typedef struct {
    int operation;
    const char *property;
    const char *names[WEFT_TLS_NAMES_MAX];
} weft_tls_pick;

static inline const weft_tls_pick *weft_tls_picks(void) {
    static const weft_tls_pick picks[WEFT_TLS_PICKS] = {
        // Keys in certificates.
        {OSSL_OP_DECODER, "structure=SubjectPublicKeyInfo", {"EC", "RSA", "RSA-PSS", "ED25519"}},
        // The same, keys for an exchange, and those that TLS makes for itself.
        {OSSL_OP_KEYMGMT, "", {"EC", "RSA", "RSA-PSS", "ED25519", "X25519", "HKDF", "TLS1-PRF", "HMAC"}},
        // TLS 1.3's three suites (RFC 8446 §9.1); certificates' signatures, and SHA-1 for the hashes of their names.
        {OSSL_OP_CIPHER, "", {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"}},
        {OSSL_OP_DIGEST, "", {"SHA1", "SHA2-256", "SHA2-384", "SHA2-512"}},
        {OSSL_OP_KDF, "", {"HKDF", "TLS13-KDF"}},
        {OSSL_OP_MAC, "", {"HMAC"}},
    };
    return picks;
}

/// What the context's one provider offers of the default provider's; filled once, before anybody can ask.
typedef struct {
    OSSL_PROVIDER *whole;
    /// By pick, each ending with an empty one.
    OSSL_ALGORITHM kept[WEFT_TLS_PICKS][WEFT_TLS_NAMES_MAX];
} weft_tls_few;

static inline weft_tls_few *weft_tls_few_of_all(void) {
    static weft_tls_few few;
    return &few;
}

/// Whether the first of an algorithm's names, which stand between colons, is one of `names`.
static inline int weft_tls_is_named(const OSSL_ALGORITHM *algorithm, const char *const *names) {
    size_t count = strcspn(algorithm->algorithm_names, ":");
    for (; *names; names++)
        if (strlen(*names) == count && strncmp(*names, algorithm->algorithm_names, count) == 0) return 1;
    return 0;
}

/// Fills `kept`; 0 unless each name was found once.
static inline int weft_tls_take(const weft_tls_pick *pick, OSSL_ALGORITHM *kept) {
    int wanted = 0, count = 0, uncached = 0;
    while (pick->names[wanted]) wanted++;
    const OSSL_ALGORITHM *each = OSSL_PROVIDER_query_operation(weft_tls_few_of_all()->whole, pick->operation, &uncached);
    for (; each && each->algorithm_names; each++) {
        if (!weft_tls_is_named(each, pick->names) || !strstr(each->property_definition, pick->property)) continue;
        if (count == wanted) return 0;
        kept[count++] = *each;
    }
    return count == wanted;
}

static inline const OSSL_ALGORITHM *weft_tls_offer(void *provider, int operation, int *uncached) {
    (void)provider;
    *uncached = 0;
    if (operation == OSSL_OP_ENCODER || operation == OSSL_OP_STORE) return NULL;
    for (int pick = 0; pick < WEFT_TLS_PICKS; pick++)
        if (weft_tls_picks()[pick].operation == operation) return weft_tls_few_of_all()->kept[pick];
    return OSSL_PROVIDER_query_operation(weft_tls_few_of_all()->whole, operation, uncached);
}

static inline int weft_tls_capabilities(void *provider, const char *capability, OSSL_CALLBACK *found, void *argument) {
    (void)provider;
    return OSSL_PROVIDER_get_capabilities(weft_tls_few_of_all()->whole, capability, found, argument);
}

/// The provider works on the default provider's own state: what it offers is that one's code.
static inline int weft_tls_provider(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core, const OSSL_DISPATCH **ours, void **state) {
    (void)handle, (void)core;
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))weft_tls_offer},
        {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))weft_tls_capabilities},
        {0, NULL},
    };
    weft_tls_few *few = weft_tls_few_of_all();
    for (int pick = 0; pick < WEFT_TLS_PICKS; pick++)
        if (!weft_tls_take(&weft_tls_picks()[pick], few->kept[pick])) return 0;
    *ours = functions;
    *state = OSSL_PROVIDER_get0_provider_ctx(few->whole);
    return 1;
}

/// A new context, or NULL where the ordinary one serves better: as of OpenSSL 3.2, under FIPS, or if the default provider is not as
/// we know it. Once in a process.
static inline OSSL_LIB_CTX *weft_tls_library(void) {
    if (OpenSSL_version_num() >= 0x30200000L || EVP_default_properties_is_fips_enabled(NULL)) return NULL;
    weft_tls_few *few = weft_tls_few_of_all();
    few->whole = OSSL_PROVIDER_try_load(NULL, "default", 1);
    OSSL_LIB_CTX *library = few->whole ? OSSL_LIB_CTX_new() : NULL;
    if (library && OSSL_PROVIDER_add_builtin(library, "weft-tls", weft_tls_provider) && OSSL_PROVIDER_load(library, "weft-tls"))
        return library;
    OSSL_LIB_CTX_free(library);
    ERR_clear_error();
    return NULL;
}
