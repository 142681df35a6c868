internal import Pipeline

/// Sends a piece of a body from where it was read, behind what already waits, instead of copying it to the output first.
///
/// A copy of each body costs more than all decisions about it; so only what the socket does not take is kept.
enum WriteThrough {
    /// Below this a copy, sent together with what follows, is cheaper than a system call of its own.
    private static let bytesMin = 4 * 1024

    /// Writes `output` and `piece`; what did not go is in `output` afterwards. Returns the bytes written. Failures are left for
    /// the next flush to find.
    static func send(
        _ piece: Bytes, after output: inout IOBuffer, over transport: inout Transport, _ pool: inout BufferPool
    ) -> Int {
        guard piece.count >= bytesMin, let base = piece.base else {
            output.append(piece, &pool)
            return 0
        }
        var total = 0
        var taken = 0
        sending: while taken < piece.count {
            let waiting = output.count
            let result: IOResult
            if waiting > 0 {
                let both = (
                    IOPiece(output.unread.base, count: waiting), IOPiece(base + taken, count: piece.count - taken)
                )
                result = withUnsafePointer(to: both) {
                    $0.withMemoryRebound(to: IOPiece.self, capacity: 2) { transport.write($0, count: 2) }
                }
            } else {
                result = transport.write(from: base + taken, count: piece.count - taken)
            }
            guard case .bytes(let count) = result, count > 0 else { break sending }
            total += count
            output.drop(min(count, waiting))
            taken += max(count - waiting, 0)
        }
        output.append(piece.slice(taken, piece.count), &pool)
        return total
    }
}
