/// What a read or write on a non-blocking connection came to.
package enum IOResult: BitwiseCopyable, Equatable, Sendable {
    /// This many, at least one.
    case bytes(Int)
    /// Nothing now: the loop calls when it is worth trying again.
    case wouldBlock
    /// The peer finished sending, in order (with TLS: it said so).
    case closed
    /// The connection is of no more use.
    case failed(IOFailure)
}

/// Why a connection failed: an errno, or what TLS found.
package struct IOFailure: BitwiseCopyable, Equatable, Sendable, CustomStringConvertible {
    /// 0 if TLS alone failed.
    package let errno: Int32
    package let tls: TLSFailure?
    /// Whether the peer's application certainly saw nothing of what was written; see `TLSFailure.isProvablyUnsent`.
    package let isProvablyUnsent: Bool

    package init(errno: Int32, isProvablyUnsent: Bool = false) {
        self.errno = errno
        tls = nil
        self.isProvablyUnsent = isProvablyUnsent
    }

    package init(tls: TLSFailure) {
        errno = 0
        self.tls = tls
        isProvablyUnsent = tls.isProvablyUnsent
    }

    package var description: String { tls?.description ?? SystemError.text(errno) }
}

/// One piece of a gathered write, in the memory layout of the kernel's `struct iovec`.
package struct IOPiece: BitwiseCopyable {
    package var base: UnsafeRawPointer?
    package var count: Int

    @inline(__always)
    package init(_ base: UnsafeRawPointer?, count: Int) {
        self.base = base
        self.count = count
    }
}
