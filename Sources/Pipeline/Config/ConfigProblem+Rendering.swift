extension ConfigProblem {
    /// For people:
    ///
    ///     error: unknown key "perTryTimeOut" in filter "retry"
    ///       --> filters.d/outbound/30-retry.json:4:3   (retry.perTryTimeOut)
    ///        |
    ///      3 |   "attempts": 3,
    ///      4 |   "perTryTimeOut": "1s",
    ///        |   ^^^^^^^^^^^^^^^ did you mean "perTryTimeout"?
    ///        = keys here: attempts, perTryTimeout, retryOn
    public func rendered(colour: Bool = false) -> String {
        let paint = Paint(isOn: colour)
        var text = paint.severity(severity, "\(severity.rawValue):") + " " + paint.bold(Excerpt.printable(message)) + "\n"
        let margin = String(max(line, related?.position.line ?? 0)).count
        let bar = String(repeating: " ", count: margin + 2) + paint.dim("|")
        if !source.name.isEmpty || !source.bytes.isEmpty {
            text += paint.dim(String(repeating: " ", count: margin + 1) + "-->") + " \(source.name):\(line):\(column)"
            text += path.isEmpty ? "\n" : "   (\(Excerpt.printable(path)))\n"
            if let related {
                text += bar + "\n"
                let where_ = related.source === source ? "" : " (\(related.source.name):\(related.position.line))"
                text += Excerpt(related.source, related.range).lines(
                    margin: margin, paint: paint, mark: "-", label: related.label + where_, leads: false)
            }
            // A file that is empty, or cannot be read, has nothing to show.
            let excerpt = Excerpt(source, range)
            if excerpt.isBlank, label.isEmpty { return text + renderedNotes(margin, paint) }
            text += bar + "\n"
            text += excerpt.lines(margin: margin, paint: paint, mark: "^", label: label, leads: true)
        }
        return text + renderedNotes(margin, paint)
    }

    private func renderedNotes(_ margin: Int, _ paint: Paint) -> String {
        notes.map { String(repeating: " ", count: margin + 2) + paint.dim("=") + " \(Excerpt.printable($0))\n" }.joined()
    }

    /// For machines, one object: `{severity,file,line,column,endColumn,path,message,suggestion or label,notes,related}`.
    package func write(to writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("severity", severity.rawValue)
            writer.member("file", file)
            writer.member("line", line)
            writer.member("column", column)
            writer.member("endColumn", endColumn)
            writer.member("path", path)
            writer.member("message", message)
            if let suggestion { writer.member("suggestion", suggestion) } else if !label.isEmpty { writer.member("label", label) }
            if !notes.isEmpty {
                writer.key("notes")
                writer.array { for note in notes { $0.string(note) } }
            }
            if let related {
                writer.key("related")
                writer.object {
                    $0.member("file", related.source.name)
                    $0.member("line", related.position.line)
                    $0.member("column", related.position.column)
                    $0.member("endColumn", related.source.position(at: related.range.upperBound).column)
                    $0.member("message", related.label)
                }
            }
        }
    }

    public var json: String {
        var writer = JSONWriter()
        write(to: &writer)
        return writer.text
    }
}

/// The lines around a place, with a mark under it.
private struct Excerpt {
    let source: ConfigSource
    let range: Range<Int>

    /// Characters of a line that are shown; a longer line is cut around the mark.
    private static let widthMax = 110

    init(_ source: ConfigSource, _ range: Range<Int>) {
        self.source = source
        self.range = range
    }

    /// No line to show.
    var isBlank: Bool {
        source.bytes[source.lineRange(source.line(at: range.lowerBound))].allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D || $0 == 0x0A }
    }

    func lines(margin: Int, paint: Paint, mark: Character, label: String, leads: Bool) -> String {
        let line = source.line(at: range.lowerBound)
        var text = ""
        if leads, line > 1 {
            let before = String(decoding: source.bytes[source.lineRange(line - 1)], as: UTF8.self)
            if !before.allSatisfy(\.isWhitespace) { text += row(line - 1, Self.shown(before, from: 0), margin, paint) }
        }
        let whole = source.lineRange(line)
        let start = min(max(range.lowerBound, whole.lowerBound), whole.upperBound)
        let end = min(max(range.upperBound, start), whole.upperBound)
        let left = String(decoding: source.bytes[whole.lowerBound..<start], as: UTF8.self)
        let marked = String(decoding: source.bytes[start..<end], as: UTF8.self)
        let right = String(decoding: source.bytes[end..<whole.upperBound], as: UTF8.self)
        let cut = left.count + min(marked.count, 40) > Self.widthMax ? left.count - 40 : 0
        text += row(line, Self.shown(left + marked + right, from: cut), margin, paint)
        let indent = Self.shown(left, from: cut).map { $0 == "\t" ? "\t" : Self.isWide($0) ? "  " : " " }.joined()
        let room = max(1, min(marked.count, Self.widthMax))
        let width = marked.prefix(room).reduce(0) { $0 + (Self.isWide($1) ? 2 : 1) }
        let carets = String(repeating: mark, count: max(1, width)) + (label.isEmpty ? "" : " " + Self.printable(label))
        text += String(repeating: " ", count: margin + 2) + paint.dim("|") + " " + indent + paint.mark(carets) + "\n"
        return text
    }

    private func row(_ line: Int, _ content: String, _ margin: Int, _ paint: Paint) -> String {
        let number = String(line)
        let pad = String(repeating: " ", count: max(0, margin - number.count))
        return paint.dim(" \(pad)\(number) |") + " " + content + "\n"
    }

    private static func shown(_ line: String, from cut: Int) -> String {
        let rest = line.dropFirst(cut)
        let body = printable(String(rest.prefix(widthMax)))
        return (cut > 0 ? "…" + body.dropFirst() : body[...]) + (rest.count > widthMax ? "…" : "")
    }

    /// Text that cannot drive the terminal it is printed on.
    static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { scalar in
            let isControl = scalar.value < 0x20 && scalar != "\t" || 0x7F..<0xA0 ~= scalar.value || 0x202A...0x202E ~= scalar.value
            return isControl || 0x2066...0x2069 ~= scalar.value ? "\u{FFFD}" : scalar
        }))
    }

    /// Whether terminals give it two columns (the common East Asian and emoji blocks).
    private static func isWide(_ character: Character) -> Bool {
        guard let first = character.unicodeScalars.first?.value else { return false }
        return 0x1100...0x115F ~= first || 0x2E80...0xA4CF ~= first || 0xAC00...0xD7A3 ~= first || 0xF900...0xFAFF ~= first
            || 0xFE30...0xFE6F ~= first || 0xFF00...0xFF60 ~= first || 0x1F300...0x1FAFF ~= first || 0x20000...0x3FFFD ~= first
    }
}

private struct Paint {
    let isOn: Bool

    func dim(_ text: String) -> String { wrap(text, "34") }
    func bold(_ text: String) -> String { wrap(text, "1") }
    func mark(_ text: String) -> String { wrap(text, "1;31") }
    func severity(_ severity: ConfigProblem.Severity, _ text: String) -> String {
        wrap(text, severity == .error ? "1;31" : "1;33")
    }

    private func wrap(_ text: String, _ code: String) -> String { isOn ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text }
}
