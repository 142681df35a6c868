internal import COpenSSL
internal import Pipeline

/// Chains that were found to lead to a context's roots, so that a peer that comes again costs no second verification.
///
/// As strict as verifying each time: the verdict on a chain depends on its bytes, on the roots, on the role, and on the time. The key
/// is a digest of the bytes, certificate for certificate; roots and role are the context's, which never change and with which this
/// ends; and a chain is known only while each of its certificates, the root included, is valid. Only good chains are kept. Who the
/// peer is and whether it is the one expected is asked anew each time, elsewhere.
final class VerifiedChains: Sendable {
    /// Chains remembered, about 100 bytes each; beyond, an arbitrary one is forgotten, which costs a verification.
    static let countMax = 4_096

    struct Digest: Hashable {
        private var words: (UInt64, UInt64, UInt64, UInt64)

        init(_ words: (UInt64, UInt64, UInt64, UInt64)) { self.words = words }

        /// Nil for chains longer than is usual, which are verified each time.
        init?(of verification: OpaquePointer) {
            words = (0, 0, 0, 0)
            let isWhole = withUnsafeMutableBytes(of: &words) { bytes in
                weft_tls_chain_digest(verification, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)) == 1
            }
            guard isWhole else { return nil }
        }

        static func == (a: Digest, b: Digest) -> Bool { a.words == b.words }

        func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
    }

    private let times = Lock<[Digest: Range<Int>]>([:])

    /// Whether it was found good and is so at `now`, in seconds since 1970.
    func contains(_ digest: Digest, at now: Int64) -> Bool {
        times.withLock { times in
            guard let valid = times[digest] else { return false }
            if valid.contains(Int(now)) { return true }
            times[digest] = nil
            return false
        }
    }

    /// Remembers a chain that was found good, for the time it is.
    func insert(_ digest: Digest, _ valid: Range<Int>) {
        times.withLock { times in
            if times[digest] == nil, times.count >= Self.countMax, let any = times.keys.first { times[any] = nil }
            times[digest] = valid
        }
    }

    /// When a chain that OpenSSL has just found good is so, in seconds since 1970; nil if that cannot be said.
    static func validity(_ verification: OpaquePointer) -> Range<Int>? {
        var from = 0, until = 0
        guard weft_tls_chain_times(verification, &from, &until) == 1, from < until else { return nil }
        return from..<until
    }

    var count: Int { times.withLock { $0.count } }
}
