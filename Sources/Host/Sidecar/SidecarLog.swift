internal import Glibc

/// Lines for people on standard error: when, how bad, what.
package struct SidecarLog: Sendable {
    private let write: @Sendable (String) -> Void

    /// - Parameter write: takes one line without its end; by default standard error does.
    package init(_ write: @escaping @Sendable (String) -> Void = SidecarLog.standardError) { self.write = write }

    package func note(_ text: String) { line("note", text) }
    package func warning(_ text: String) { line("warning", text) }
    package func error(_ text: String) { line("error", text) }

    private func line(_ level: String, _ text: String) { write("\(Timestamp(Clock.unixSeconds())) \(level): \(text)") }

    package static let standardError: @Sendable (String) -> Void = { line in
        let bytes = Array((line + "\n").utf8)
        _ = Glibc.write(2, bytes, bytes.count)
    }
}

/// A moment as people and RFC 3339 write it: `2026-11-23T00:30:00Z`.
package struct Timestamp: Sendable, CustomStringConvertible {
    private let seconds: Int64

    /// - Parameter seconds: since 1970.
    package init(_ seconds: Int64) { self.seconds = seconds }

    package var description: String {
        var time = time_t(seconds)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return "\(seconds)" }
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}
