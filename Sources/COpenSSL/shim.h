// OpenSSL for Swift. What OpenSSL offers as a macro stands here as a static inline function of the same meaning.
#pragma once
#include <openssl/ssl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/pem.h>
#include "library.h"
#include "tls.h"
#include "certificates.h"
