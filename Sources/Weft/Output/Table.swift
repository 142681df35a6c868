/// Rows under a head, columns aligned, two spaces apart, no space at the end of a line.
///
///     SRC        DST      RPS  SUCCESS
///     order      payment   50  100.00%
///     analytics  payment    2    0.00%
package struct Table: Sendable {
    package enum Alignment: Sendable { case left, right }
    package enum Tone: Sendable { case plain, good, odd, bad, dim }

    package struct Column: Sendable {
        package let title: String
        package let alignment: Alignment

        package static func left(_ title: String) -> Column { Column(title: title, alignment: .left) }
        package static func right(_ title: String) -> Column { Column(title: title, alignment: .right) }
    }

    package struct Cell: Sendable, ExpressibleByStringInterpolation {
        package let text: String
        package let tone: Tone

        package init(_ text: String, _ tone: Tone = .plain) {
            self.text = Printable.text(text)
            self.tone = tone
        }
        package init(stringLiteral text: String) { self.init(text) }
    }

    package let columns: [Column]
    private var rows: [Row] = []

    private enum Row: Sendable {
        case cells([Cell])
        /// Under the row before it, across all columns.
        case remark(String, Tone)
    }

    package init(_ columns: [Column]) { self.columns = columns }

    package var isEmpty: Bool { rows.isEmpty }

    /// An empty cell is shown as a hyphen, so that columns can be counted.
    package mutating func add(_ cells: [Cell]) {
        precondition(cells.count == columns.count, "a row has \(cells.count) cells, the table \(columns.count) columns")
        rows.append(.cells(cells.map { $0.text.isEmpty ? Cell("-", $0.tone) : $0 }))
    }

    package mutating func remark(_ text: String, _ tone: Tone = .dim) { rows.append(.remark(Printable.text(text), tone)) }

    package func rendered(_ style: Style) -> String {
        var widths = columns.map(\.title.count)
        for case .cells(let cells) in rows {
            for (index, cell) in cells.enumerated() { widths[index] = max(widths[index], cell.text.count) }
        }
        var text = line(columns.map { Cell($0.title, .dim) }, widths, style)
        for row in rows {
            switch row {
            case .cells(let cells): text += line(cells, widths, style)
            case .remark(let remark, let tone): text += "    " + style.paint(remark, tone) + "\n"
            }
        }
        return text
    }

    private func line(_ cells: [Cell], _ widths: [Int], _ style: Style) -> String {
        var text = ""
        for (index, cell) in cells.enumerated() {
            let gap = String(repeating: " ", count: widths[index] - cell.text.count)
            let painted = style.paint(cell.text, cell.tone)
            let isLast = index == cells.count - 1
            switch columns[index].alignment {
            case .left: text += painted + (isLast ? "" : gap)
            case .right: text += gap + painted
            }
            if !isLast { text += "  " }
        }
        return text + "\n"
    }
}

extension Style {
    fileprivate func paint(_ text: String, _ tone: Table.Tone) -> String {
        switch tone {
        case .plain: text
        case .good: good(text)
        case .odd: odd(text)
        case .bad: bad(text)
        case .dim: dim(text)
        }
    }
}
