/// A text that config was read from: a file, a request body, a literal in a test. Shared by every node that came from it.
public final class ConfigSource: Sendable {
    /// As the operator knows it: a path, or `<api>`.
    public let name: String
    package let bytes: [UInt8]
    /// The number of the text's first line: above 1 in a piece of a larger text.
    package let firstLine: Int
    /// Offset of each line's first byte; never empty.
    private let lineStarts: [Int]
    /// 3 if the text begins with a byte order mark, which no editor counts as a column.
    package let textStart: Int

    package init(name: String, bytes: [UInt8], firstLine: Int = 1) {
        precondition(firstLine >= 1)
        self.name = name
        self.firstLine = firstLine
        self.bytes = bytes
        textStart = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        var starts = [0]
        for (offset, byte) in bytes.enumerated() where byte == 0x0A { starts.append(offset + 1) }
        lineStarts = starts
    }

    package convenience init(name: String, text: String) { self.init(name: name, bytes: Array(text.utf8)) }

    /// For nodes that nobody wrote.
    package static let none = ConfigSource(name: "", bytes: [])

    package var lineCount: Int { lineStarts.count }

    /// The line of a byte, from `firstLine`.
    package func line(at offset: Int) -> Int { firstLine + index(at: offset) }

    /// Into `lineStarts`.
    private func index(at offset: Int) -> Int {
        var low = 0
        var high = lineStarts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if lineStarts[middle] <= offset { low = middle } else { high = middle }
        }
        return low
    }

    package func position(at offset: Int) -> ConfigPosition {
        let index = index(at: offset)
        let start = lineStarts[index]
        let from = max(start, index == 0 ? textStart : 0)
        let end = min(max(offset, from), bytes.count)
        let before = bytes[min(from, end)..<end]
        let isASCII = before.allSatisfy { $0 < 0x80 }
        return ConfigPosition(line: firstLine + index, column: (isASCII ? before.count : String(decoding: before, as: UTF8.self).count) + 1)
    }

    /// A line's bytes without its line break; empty if there is no such line.
    package func lineRange(_ line: Int) -> Range<Int> {
        guard line >= firstLine, line - firstLine < lineStarts.count else { return 0..<0 }
        let index = line - firstLine
        let start = index == 0 ? textStart : lineStarts[index]
        var end = index + 1 < lineStarts.count ? lineStarts[index + 1] - 1 : bytes.count
        if end > start, bytes[end - 1] == 0x0D { end -= 1 }
        return start..<max(start, end)
    }
}

/// Where something stands in a text, as an editor counts: lines and characters from 1.
public struct ConfigPosition: Hashable, Sendable {
    public let line: Int
    public let column: Int
}
