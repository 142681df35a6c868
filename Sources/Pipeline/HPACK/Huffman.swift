/// The Huffman code of RFC 7541 Appendix B.
///
/// The code is canonical: sorted by length, then by symbol, codes count upwards. So the lengths are all of it, and both tables
/// are made from them when the first connection needs them. They live as long as the process.
@safe
package struct Huffman: BitwiseCopyable, @unchecked Sendable {
    /// Bits of the code of each byte value, and of the end of string (256).
    private static let lengths: [UInt8] = [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
        6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
        13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
        20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
        22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
        20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
        30,
    ]
    private static let endOfString = 256
    /// Inner nodes of a full binary tree over 257 leaves: a node's number fits a byte.
    private static let nodeCount = 256

    /// What four more bits do at a node: the next node in bits 0–7, a decoded byte in bits 8–15, and what follows.
    private static let emits: UInt32 = 1 << 16
    private static let fails: UInt32 = 1 << 17
    /// A string may end at the next node: less than a byte of ones has come since the last symbol.
    private static let mayEnd: UInt32 = 1 << 18

    /// By node times 16 plus four bits. The shortest code has five bits, so four never finish two symbols. 16 KiB: it stays in
    /// a first-level cache, where a table by whole bytes (256 KiB) would not.
    private let steps: UnsafePointer<UInt32>
    /// By byte value: the code in bits 8–37, its length in bits 0–7.
    private let codes: UnsafePointer<UInt64>

    package static let shared = Huffman()

    // MARK: Decoding

    /// Decodes `text` to `target`, as far as it reaches; the count is that of the whole string, whether or not it fitted.
    @inline(__always)
    package func decode(_ text: Bytes, into target: UnsafeMutableBufferPointer<UInt8>) -> Result<Int, HPACKFault> {
        var node = Self.mayEnd
        var count = 0
        var index = 0
        while index < text.count {
            let byte = Int(text[index])
            let high = unsafe steps[Int(node & 0xFF) &<< 4 | byte &>> 4]
            let low = unsafe steps[Int(high & 0xFF) &<< 4 | byte & 15]
            if (high | low) & Self.fails != 0 { return .failure(.endOfStringInString) }
            if high & Self.emits != 0 {
                if count < target.count { unsafe target[count] = UInt8(truncatingIfNeeded: high &>> 8) }
                count &+= 1
            }
            if low & Self.emits != 0 {
                if count < target.count { unsafe target[count] = UInt8(truncatingIfNeeded: low &>> 8) }
                count &+= 1
            }
            node = low
            index &+= 1
        }
        return node & Self.mayEnd != 0 ? .success(count) : .failure(.malformedPadding)
    }

    // MARK: Encoding

    /// Bytes that `text` takes when encoded.
    package func encodedCount(_ text: Bytes) -> Int {
        var bits = 0
        var index = 0
        while index < text.count {
            bits &+= unsafe Int(codes[Int(text[index])] & 0xFF)
            index &+= 1
        }
        return (bits &+ 7) &>> 3
    }

    /// Writes ``encodedCount(_:)`` bytes to `target`, which has room for them.
    package func encode(_ text: Bytes, to target: UnsafeMutablePointer<UInt8>) {
        var pending: UInt64 = 0
        var bits: UInt64 = 0
        var written = 0
        var index = 0
        while index < text.count {
            let code = unsafe codes[Int(text[index])]
            let length = code & 0xFF
            // Fewer than 8 bits wait, a code has at most 30.
            pending = pending &<< length | code &>> 8
            bits &+= length
            while bits >= 8 {
                bits &-= 8
                unsafe target[written] = UInt8(truncatingIfNeeded: pending &>> bits)
                written &+= 1
            }
            index &+= 1
        }
        if bits > 0 {
            let ones = 8 &- bits
            unsafe target[written] = UInt8(truncatingIfNeeded: pending &<< ones | (1 &<< ones &- 1))
        }
    }

    // MARK: Tables

    private init() {
        let codes = Self.canonicalCodes()
        let tree = Tree(codes: codes)
        let steps = UnsafeMutablePointer<UInt32>.allocate(capacity: Self.nodeCount * 16)
        for node in 0..<Self.nodeCount {
            for bits in 0..<16 { unsafe (steps + node * 16 + bits).initialize(to: Self.step(from: node, bits: bits, in: tree)) }
        }
        let packed = UnsafeMutablePointer<UInt64>.allocate(capacity: Self.endOfString)
        for byte in 0..<Self.endOfString { unsafe (packed + byte).initialize(to: UInt64(codes[byte]) << 8 | UInt64(Self.lengths[byte])) }
        unsafe self.steps = UnsafePointer(steps)
        unsafe self.codes = UnsafePointer(packed)
    }

    private static func canonicalCodes() -> [UInt32] {
        var codes = [UInt32](repeating: 0, count: lengths.count)
        var code: UInt32 = 0
        for length in 1...30 {
            code <<= 1
            for symbol in lengths.indices where Int(lengths[symbol]) == length {
                codes[symbol] = code
                code += 1
            }
        }
        return codes
    }

    private enum Branch { case none, node(Int), leaf(Int) }

    private struct Tree {
        var branches: [(Branch, Branch)] = [(.none, .none)]
        var mayEnd: [Bool] = [true]

        init(codes: [UInt32]) {
            for symbol in codes.indices {
                var node = 0
                for bit in stride(from: Int(lengths[symbol]) - 1, through: 0, by: -1) {
                    let isOne = codes[symbol] >> UInt32(bit) & 1 == 1
                    if bit == 0 { set(node, isOne, .leaf(symbol)) } else { node = child(of: node, isOne, depth: Int(lengths[symbol]) - bit) }
                }
            }
        }

        func branch(_ node: Int, _ isOne: Bool) -> Branch { isOne ? branches[node].1 : branches[node].0 }

        private mutating func set(_ node: Int, _ isOne: Bool, _ branch: Branch) {
            if isOne { branches[node].1 = branch } else { branches[node].0 = branch }
        }

        private mutating func child(of node: Int, _ isOne: Bool, depth: Int) -> Int {
            if case .node(let next) = branch(node, isOne) { return next }
            branches.append((.none, .none))
            mayEnd.append(isOne && mayEnd[node] && depth < 8)
            set(node, isOne, .node(branches.count - 1))
            return branches.count - 1
        }
    }

    private static func step(from start: Int, bits: Int, in tree: Tree) -> UInt32 {
        var node = start
        var result: UInt32 = 0
        for bit in stride(from: 3, through: 0, by: -1) {
            switch tree.branch(node, bits >> bit & 1 == 1) {
            case .node(let next): node = next
            case .leaf(let symbol) where symbol < endOfString:
                result |= emits | UInt32(symbol) << 8
                node = 0
            case .leaf, .none: return fails
            }
        }
        return result | UInt32(node) | (tree.mayEnd[node] ? mayEnd : 0)
    }
}
