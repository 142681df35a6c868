internal import CPlatform
internal import Glibc
package import Pipeline

/// A call to the operating system that failed.
package struct SystemError: Error, Equatable, CustomStringConvertible {
    /// A positive errno.
    package let code: Int32
    /// The call, and what it was about.
    package let call: String

    /// - Parameter code: an errno, of either sign.
    package init(_ code: Int32, _ call: String) {
        self.code = code < 0 ? 0 - code : code
        self.call = call
    }

    package var description: String { "\(call): \(Self.text(code))" }

    package var isNoSuchFile: Bool { code == ENOENT }

    /// What the C library calls this errno.
    package static func text(_ code: Int32) -> String { String(cString: strerror(code)) }
}

/// The clocks. Read once per turn by the loop; decisions get the instant as an argument.
package enum Clock {
    @inline(__always)
    package static func monotonic() -> Instant { Instant(nanoseconds: weft_monotonic_nanoseconds()) }
    /// Seconds since 1970, for certificates, logs and people.
    package static func unixSeconds() -> Int64 { weft_realtime_nanoseconds() / 1_000_000_000 }
    package static func unixNanoseconds() -> Int64 { weft_realtime_nanoseconds() }
}

/// Chance from the kernel.
package enum Entropy {
    package static func word() -> UInt64 {
        var word: UInt64 = 0
        let failure = weft_random_bytes(&word, 8)
        precondition(failure == 0, "the kernel has no entropy")
        return word
    }

    package static func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            let failure = weft_random_bytes(buffer.baseAddress, count)
            precondition(failure == 0, "the kernel has no entropy")
            initialized = count
        }
    }
}

/// What every descriptor can do.
package enum Descriptor {
    @inline(__always)
    package static func close(_ descriptor: Int32) {
        // EINTR on Linux means closed: never repeat.
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
    }
}

/// The machine as this process may use it.
package enum Machine {
    package static var coreCount: Int { Int(weft_core_count()) }
}
