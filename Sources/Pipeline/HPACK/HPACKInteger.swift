/// Numbers of HPACK (RFC 7541 §5.1): a prefix of some bits in a first byte, and seven bits per byte behind it.
enum HPACKInteger {
    enum Read {
        case value(Int)
        case needMore
        case tooLarge
    }

    /// Reads at `position`, and moves it behind the number if that is complete.
    @inline(__always)
    static func read(_ input: Bytes, at position: inout Int, prefixBits: Int) -> Read {
        guard position < input.count else { return .needMore }
        let mask = 1 &<< prefixBits &- 1
        let first = Int(input[position]) & mask
        guard first == mask else {
            position &+= 1
            return .value(first)
        }
        return readRest(input, at: &position, of: mask)
    }

    private static func readRest(_ input: Bytes, at position: inout Int, of mask: Int) -> Read {
        var value = mask
        var index = position &+ 1
        var shift = 0
        while shift < HPACKLimits.integerBytesMax &* 7 {
            guard index < input.count else { return .needMore }
            let byte = Int(input[index])
            value &+= (byte & 0x7F) &<< shift
            index &+= 1
            shift &+= 7
            if byte & 0x80 == 0 {
                position = index
                return .value(value)
            }
        }
        return .tooLarge
    }

    /// Bytes that any number of this codec takes at most.
    static let writtenBytesMax = 6

    /// Writes `value` with the bits of `pattern` above the prefix; the count written.
    @inline(__always)
    static func write(_ value: Int, prefixBits: Int, pattern: UInt8, to target: UnsafeMutablePointer<UInt8>) -> Int {
        let mask = 1 &<< prefixBits &- 1
        if value < mask {
            unsafe target[0] = pattern | UInt8(truncatingIfNeeded: value)
            return 1
        }
        unsafe target[0] = pattern | UInt8(truncatingIfNeeded: mask)
        var rest = value &- mask
        var count = 1
        while rest >= 0x80, count < writtenBytesMax &- 1 {
            unsafe target[count] = UInt8(truncatingIfNeeded: rest) | 0x80
            rest &>>= 7
            count &+= 1
        }
        unsafe target[count] = UInt8(truncatingIfNeeded: rest & 0x7F)
        return count &+ 1
    }
}
