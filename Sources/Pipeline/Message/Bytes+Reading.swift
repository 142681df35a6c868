/// Slices, wide loads and comparisons for parsers.
///
/// Positions are the caller's promise (0 ≤ start ≤ end ≤ count): every loop that calls these is bounded by `count`.
extension Bytes {
    @inline(__always)
    package init(_ buffer: UnsafeRawBufferPointer) {
        unsafe self.init(buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), count: buffer.count)
    }

    /// The bytes in `start ..< end`.
    @inline(__always)
    package func slice(_ start: Int, _ end: Int) -> Bytes {
        assert(start >= 0 && start <= end && end <= count)
        guard let base = unsafe base else { return .empty }
        return unsafe Bytes(base + start, count: end &- start)
    }

    /// Eight bytes from `position` on; the first is the lowest. The caller promises that they are there.
    @inline(__always)
    package func word(at position: Int) -> UInt64 {
        assert(position >= 0 && position &+ 8 <= count)
        return unsafe UInt64(
            littleEndian: UnsafeRawPointer(base.unsafelyUnwrapped).loadUnaligned(fromByteOffset: position, as: UInt64.self))
    }

    /// The position of the first byte below 0x20 or equal to 0x7F in `start ..< end`; `end` if there is none.
    ///
    /// Eight bytes per lane: a subtraction borrows into bit 7 exactly in the lowest byte that is too small, and whatever
    /// the borrow spoils lies above it. Lane arithmetic, because the comparisons of `SIMD16` compile to a loop over bytes.
    @inline(__always)
    package func firstControl(from start: Int, to end: Int) -> Int {
        var position = start
        while position &+ 16 <= end {
            let bytes = unsafe UnsafeRawPointer(base.unsafelyUnwrapped)
                .loadUnaligned(fromByteOffset: position, as: SIMD2<UInt64>.self)
            let delete = bytes ^ SIMD2(repeating: 0x7F7F_7F7F_7F7F_7F7F)
            let small = (bytes &- SIMD2(repeating: 0x2020_2020_2020_2020)) & ~bytes
            let deletes = (delete &- SIMD2(repeating: 0x0101_0101_0101_0101)) & ~delete
            let found = (small | deletes) & SIMD2(repeating: 0x8080_8080_8080_8080)
            if found.x != 0 { return position &+ found.x.trailingZeroBitCount &>> 3 }
            if found.y != 0 { return position &+ 8 &+ found.y.trailingZeroBitCount &>> 3 }
            position &+= 16
        }
        while position < end {
            let byte = self[position]
            if byte < 0x20 || byte == 0x7F { return position }
            position &+= 1
        }
        return end
    }

    /// The position of the first byte that is not visible ASCII (0x21…0x7E) in `start ..< end`; `end` if there is none.
    @inline(__always)
    package func firstInvisible(from start: Int, to end: Int) -> Int {
        var position = start
        while position &+ 8 <= end {
            let bytes = word(at: position)
            let found =
                ((bytes &- 0x2121_2121_2121_2121) | (bytes &+ 0x0101_0101_0101_0101) | bytes) & 0x8080_8080_8080_8080
            if found != 0 { return position &+ found.trailingZeroBitCount &>> 3 }
            position &+= 8
        }
        while position < end {
            if self[position] &- 0x21 > 0x5D { return position }
            position &+= 1
        }
        return end
    }

    /// The position of the first byte that is neither a letter, a digit nor a dash in `start ..< end`; `end` if there is none.
    ///
    /// What names, hosts and paths are mostly made of. Sums over seven bits set bit 7 without a carry: in one of a range's
    /// two sums exactly for the bytes inside of it.
    @inline(__always)
    package func firstUncommon(from start: Int, to end: Int) -> Int {
        var position = start
        while position &+ 8 <= end {
            let bytes = word(at: position)
            let low = bytes & 0x7F7F_7F7F_7F7F_7F7F
            let folded = low | 0x2020_2020_2020_2020
            let letter = (folded &+ 0x1F1F_1F1F_1F1F_1F1F) & ~(folded &+ 0x0505_0505_0505_0505)
            let digit = (low &+ 0x5050_5050_5050_5050) & ~(low &+ 0x4646_4646_4646_4646)
            let dash = ~((low ^ 0x2D2D_2D2D_2D2D_2D2D) &+ 0x7F7F_7F7F_7F7F_7F7F)
            let found = (~(letter | digit | dash) | bytes) & 0x8080_8080_8080_8080
            if found != 0 { return position &+ found.trailingZeroBitCount &>> 3 }
            position &+= 8
        }
        while position < end {
            let byte = self[position]
            guard (byte | 0x20) &- 0x61 < 26 || ASCII.isDigit(byte) || byte == 0x2D else { return position }
            position &+= 1
        }
        return end
    }

    /// Whether these are exactly the bytes of `literal`.
    @inline(__always)
    package func equals(_ literal: StaticString) -> Bool {
        guard count == literal.utf8CodeUnitCount else { return false }
        let other = Bytes(literal)
        var index = 0
        while index < count {
            if self[index] != other[index] { return false }
            index &+= 1
        }
        return true
    }

    /// Whether these are the bytes of `literal`, which is in lower case, in any case.
    @inline(__always)
    package func equalsFolded(_ literal: StaticString) -> Bool {
        guard count == literal.utf8CodeUnitCount else { return false }
        return hasFoldedPrefix(literal)
    }

    /// Whether these begin with `literal`, which is in lower case, in any case.
    package func hasFoldedPrefix(_ literal: StaticString) -> Bool { hasFoldedPrefix(Bytes(literal)) }

    /// Whether these begin with `other`, which is in lower case, in any case.
    package func hasFoldedPrefix(_ other: Bytes) -> Bool {
        guard count >= other.count else { return false }
        var index = 0
        while index &+ 8 <= other.count {
            if ASCII.lowercased(word(at: index)) != other.word(at: index) { return false }
            index &+= 8
        }
        if index == other.count { return true }
        // What is left is in the eight bytes that end where it does.
        if index > 0 { return ASCII.lowercased(word(at: other.count &- 8)) == other.word(at: other.count &- 8) }
        while index < other.count {
            if ASCII.lowercased(self[index]) != other[index] { return false }
            index &+= 1
        }
        return true
    }

    /// Whether both are the same bytes but for the case of letters.
    package func equalsFolded(_ other: Bytes) -> Bool {
        guard count == other.count else { return false }
        var index = 0
        while index < count {
            if ASCII.lowercased(self[index]) != ASCII.lowercased(other[index]) { return false }
            index &+= 1
        }
        return true
    }

    /// Without spaces and tabs at both ends (OWS, RFC 9110 §5.6.3).
    package var trimmed: Bytes {
        var start = 0
        var end = count
        while start < end, self[start] == 0x20 || self[start] == 0x09 { start &+= 1 }
        while end > start, self[end &- 1] == 0x20 || self[end &- 1] == 0x09 { end &-= 1 }
        return slice(start, end)
    }
}
