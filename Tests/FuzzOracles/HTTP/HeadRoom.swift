import Pipeline
import Synchronization

/// Room that heads need beside their bytes, kept from one check to the next: to make it takes longer than most checks.
///
/// Tests check on many threads: a room belongs to whoever borrowed it.
final class HeadRoom: @unchecked Sendable {
    private static let kept = Mutex<[HeadRoom]>([])

    static func borrow<Result>(_ body: (HeadRoom) throws -> Result) rethrows -> Result {
        let room = kept.withLock { $0.popLast() } ?? HeadRoom()
        defer { kept.withLock { $0.append(room) } }
        return try body(room)
    }

    let fields = UnsafeMutablePointer<HeaderField>.allocate(capacity: HTTP1Limits.fieldsMax)
    let scratch = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: HTTP1Limits.targetBytesMax)
    let output = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 1)

    deinit {
        fields.deallocate()
        scratch.deallocate()
        output.deallocate()
    }

    var table: HeaderTable { HeaderTable(fields: fields, capacity: HTTP1Limits.fieldsMax) }
}

extension Bytes {
    var array: [UInt8] { Array(UnsafeBufferPointer(start: base, count: count)) }
}

extension BodyFraming {
    var naive: NaiveHTTP.Framing {
        switch self {
        case .none: .none
        case .length(let count): .length(Int(count))
        case .chunked: .chunked
        case .untilClose: .untilClose
        }
    }
}

extension HeaderTable {
    /// Every line that stays, name in lower case.
    func lines(without dropped: FieldMask) -> [[UInt8]] {
        (0..<Int(count)).filter { !dropped.contains($0) }.map { NaiveHTTP.lowercased(name($0).array[...]) + [58] + value($0).array }
    }
}
