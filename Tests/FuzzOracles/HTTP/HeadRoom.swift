import Pipeline

/// Room that heads need beside their bytes, made once: a check runs a hundred thousand times a second.
final class HeadRoom {
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
