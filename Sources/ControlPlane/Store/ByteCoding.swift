/// Writes little-endian integers and length-prefixed bytes.
package struct ByteWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func write<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    package mutating func write(raw: some Sequence<UInt8>) { bytes.append(contentsOf: raw) }

    /// Four bytes of length, then the bytes. Our own callers keep below 4 GiB.
    package mutating func write(counted value: [UInt8]) {
        precondition(value.count <= Int(UInt32.max))
        write(UInt32(value.count))
        bytes.append(contentsOf: value)
    }

    package mutating func write(counted text: String) { write(counted: Array(text.utf8)) }
}

/// Reads what `ByteWriter` wrote; every read is nil when the bytes end early, so no input can trap it.
package struct ByteReader: Sendable {
    private var rest: ArraySlice<UInt8>

    package init(_ bytes: ArraySlice<UInt8>) { rest = bytes }
    package init(_ bytes: [UInt8]) { rest = bytes[...] }

    package var isAtEnd: Bool { rest.isEmpty }
    package var remaining: Int { rest.count }

    package mutating func read<T: FixedWidthInteger>(_: T.Type) -> T? {
        let size = MemoryLayout<T>.size
        guard rest.count >= size else { return nil }
        var value: T = 0
        for (index, byte) in rest.prefix(size).enumerated() { value |= T(truncatingIfNeeded: byte) << T(index * 8) }
        rest.removeFirst(size)
        return value
    }

    package mutating func read(raw count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest.removeFirst(count) }
        return rest.prefix(count)
    }

    package mutating func readCounted() -> [UInt8]? {
        guard let count = read(UInt32.self), let bytes = read(raw: Int(count)) else { return nil }
        return Array(bytes)
    }

    /// Nil too if the bytes are not UTF-8.
    package mutating func readText() -> String? {
        guard let count = read(UInt32.self), let bytes = read(raw: Int(count)) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}
