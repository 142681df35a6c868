internal import Glibc
internal import Synchronization

/// Lines for people on standard error: when, how bad, what.
package struct SidecarLog: Sendable {
    private let write: @Sendable (String) -> Void

    /// - Parameter write: takes one line without its end; by default standard error does.
    package init(_ write: @escaping @Sendable (String) -> Void = SidecarLog.standardError) { self.write = write }

    package func note(_ text: String) { line("note", text) }
    package func warning(_ text: String) { line("warning", text) }
    package func error(_ text: String) { line("error", text) }

    private func line(_ level: String, _ text: String) { write("\(Timestamp(Clock.unixSeconds())) \(level): \(text)") }

    package static let standardError: @Sendable (String) -> Void = { line in write(line, to: 2) }

    /// Lines lost because whoever keeps them would not take them.
    package static var dropped: UInt64 { droppedLines.load(ordering: .relaxed) }

    private static let droppedLines = Atomic<UInt64>(0)
    /// What a pipe that is ready takes at once (PIPE_BUF).
    private static let pieceBytesMax = 4_096

    /// Writes one line, or drops it: a full disk, or a reader that sleeps, must hold nobody up.
    static func write(_ line: String, to descriptor: Int32) {
        var bytes = Array(line.utf8)
        // A peer's bytes may be in it: they end no line and move no cursor.
        for index in bytes.indices where bytes[index] < 0x20 && bytes[index] != 0x0A && bytes[index] != 0x09 || bytes[index] == 0x7F {
            bytes[index] = UInt8(ascii: "?")
        }
        bytes.append(0x0A)
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = Array(rest.prefix(pieceBytesMax))
            var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&poller, 1, 0) == 1, poller.revents & Int16(POLLOUT) != 0,
                Glibc.write(descriptor, piece, piece.count) == piece.count
            else {
                droppedLines.add(1, ordering: .relaxed)
                return
            }
            rest = rest.dropFirst(piece.count)
        }
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
