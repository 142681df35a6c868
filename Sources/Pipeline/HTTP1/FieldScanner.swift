/// Finds header lines one after the other, and refuses the first byte that has no place in one (RFC 9112 §5).
///
/// The first offending byte from the left decides, and a line is complete only with its CRLF: so the answer cannot depend
/// on where reads cut the line. An unfinished line is resumed at the byte where the last call stopped; no byte of a value is
/// looked at twice, and a name at most `nameBytesMax` times.
package struct FieldScanner: BitwiseCopyable {
    package enum Line {
        case needMore
        case field(HeaderField)
        /// The empty line; what follows begins at this position.
        case end(Int)
        /// The line crosses the limit.
        case tooLong
        case reject(HTTP1Fault)
    }

    /// Where the unfinished line begins.
    @Packed package private(set) var lineStart: Int
    /// Where its value begins, white space included; 0 until its colon is found.
    @Packed private var valueStart = 0
    /// Up to here its value is known to be clean.
    @Packed private var scanned = 0

    package init(at position: Int) { _lineStart = Packed(wrappedValue: position) }

    /// The next line of `input`, which must not reach past `limit`.
    @inline(__always)
    package mutating func next(in input: Bytes, limit: Int) -> Line {
        let end = min(input.count, limit)
        if valueStart == 0 {
            var position = input.firstUncommon(from: lineStart, to: end)
            while position < end, ASCII.isToken(input[position]) { position = input.firstUncommon(from: position &+ 1, to: end) }
            if position &- lineStart > HTTP1Limits.nameBytesMax { return .reject(.nameTooLong) }
            if position >= end { return short(input, limit) }
            if input[position] != UInt8(ascii: ":") { return notAName(input, at: position, limit: limit) }
            if position == lineStart { return .reject(.emptyName) }
            valueStart = position &+ 1
            scanned = valueStart
        }
        var position = scanned
        while true {
            position = input.firstControl(from: position, to: end)
            scanned = position
            // A CR is judged with the byte behind it.
            if position &+ 1 >= end, position >= end || input[position] == 0x0D { return short(input, limit) }
            switch input[position] {
            case 0x0D where input[position &+ 1] == 0x0A: return .field(finish(input, valueEnd: position))
            case 0x0D: return .reject(.bareCarriageReturn)
            case 0x0A: return .reject(.bareLineFeed)
            case 0x09: position &+= 1
            default: return .reject(.controlByte)
            }
        }
    }

    @inline(__always)
    private mutating func finish(_ input: Bytes, valueEnd: Int) -> HeaderField {
        var first = valueStart
        var last = valueEnd
        while first < last, input[first] == 0x20 || input[first] == 0x09 { first &+= 1 }
        while last > first, input[last &- 1] == 0x20 || input[last &- 1] == 0x09 { last &-= 1 }
        let nameCount = valueStart &- 1 &- lineStart
        let field = HeaderField(
            nameOffset: UInt16(truncatingIfNeeded: lineStart), nameCount: UInt16(truncatingIfNeeded: nameCount),
            valueOffset: UInt16(truncatingIfNeeded: first), valueCount: UInt16(truncatingIfNeeded: last &- first),
            tag: HeaderName.tag(of: input.slice(lineStart, lineStart &+ nameCount)))
        lineStart = valueEnd &+ 2
        valueStart = 0
        return field
    }

    private func short(_ input: Bytes, _ limit: Int) -> Line { input.count >= limit ? .tooLong : .needMore }

    /// A byte that ends a name but is no colon: the head's end, or a fault.
    private func notAName(_ input: Bytes, at position: Int, limit: Int) -> Line {
        switch input[position] {
        case 0x0D:
            guard position &+ 1 < min(input.count, limit) else { return short(input, limit) }
            guard input[position &+ 1] == 0x0A else { return .reject(.bareCarriageReturn) }
            return position == lineStart ? .end(position &+ 2) : .reject(.missingColon)
        case 0x0A: return .reject(.bareLineFeed)
        case 0x20, 0x09: return .reject(position == lineStart ? .lineFold : .spaceInName)
        default: return .reject(.malformedName)
        }
    }
}
