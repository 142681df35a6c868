/// Holds a tree against declared fields and says everything that is wrong with it.
///
/// It works on data alone (`ConfigField`), so a control plane checks the settings of a filter it does not contain exactly as
/// the sidecar that runs it.
package struct ConfigCheck {
    /// What the top object is, for messages: `filter "retry"`.
    package let subject: String
    /// The path of the top object.
    package let root: String
    package private(set) var problems: [ConfigProblem] = []
    /// Paths of fields that an unknown key was probably meant to be: their absence is not reported again.
    private var suggested: Set<String> = []

    package init(subject: String, path root: String = "") {
        self.subject = subject
        self.root = root
    }

    // MARK: Objects

    /// Unknown keys, refused keys and wrong values. Absence is not its business: see `requirePresence`.
    package mutating func check(_ node: ConfigNode, _ fields: [ConfigField], path: String) {
        guard let members = node.members else {
            return mismatch(node, .record(fields), path)
        }
        let present = Set(members.map(\.key))
        for member in members where member.key != "$schema" {
            let place = Self.join(path, member.key)
            guard let field = fields.first(where: { $0.key == member.key }) else {
                unknown(member, fields, present, node, path, place)
                continue
            }
            if case .refused(let reason) = field.presence {
                problems.append(
                    ConfigProblem(
                        "\(JSONWriter.quoted(field.key)) is \(reason)", source: node.source, range: member.keyRange, path: place,
                        label: "take it out", notes: [field.meaning]))
                continue
            }
            check(member.value, field.shape, field.rules, path: place)
        }
    }

    /// Reports required fields that a complete object lacks, down through nested records (not lists: `check` does those).
    package mutating func requirePresence(_ node: ConfigNode, _ fields: [ConfigField], path: String, at place: ConfigNode) {
        for field in fields {
            if let value = node[field.key] {
                if let nested = field.shape.fields, value.isObject {
                    requirePresence(value, nested, path: Self.join(path, field.key), at: value.isWritten ? value : place)
                }
            } else if field.presence == .required, !suggested.contains(Self.join(path, field.key)) {
                let here = place.isObject ? place.range.lowerBound..<min(place.range.upperBound, place.range.lowerBound + 1) : place.range
                problems.append(
                    ConfigProblem(
                        "\(subject(path)) lacks \(JSONWriter.quoted(field.key))", source: place.source, range: here,
                        path: Self.join(path, field.key),
                        label: "add \(JSONWriter.quoted(field.key)): \(field.shape.example)", notes: [field.meaning]))
            }
        }
    }

    private mutating func unknown(
        _ member: ConfigNode.Member, _ fields: [ConfigField], _ present: Set<String>, _ node: ConfigNode, _ path: String, _ place: String
    ) {
        let keys = fields.filter { if case .refused = $0.presence { false } else { true } }.map(\.key)
        let suggestion = Spelling.suggestion(for: member.key, among: fields.map(\.key), taken: present)
        if let suggestion, !present.contains(suggestion) { suggested.insert(Self.join(path, suggestion)) }
        var notes = [keys.isEmpty ? "it takes no keys" : "keys here: \(keys.joined(separator: ", "))"]
        if suggestion == nil, let home = fields.first(where: { $0.shape.fields?.contains { $0.key == member.key } == true }) {
            notes.append("\(JSONWriter.quoted(member.key)) stands inside \(JSONWriter.quoted(home.key))")
        }
        problems.append(
            ConfigProblem(
                "unknown key \(JSONWriter.quoted(member.key)) in \(subject(path))", source: node.source, range: member.keyRange,
                path: place, suggestion: suggestion, notes: notes))
    }

    // MARK: Values

    package mutating func check(_ node: ConfigNode, _ shape: ConfigShape, _ rules: [ConfigRule], path: String) {
        let before = problems.count
        switch shape {
        case .bool: if node.bool == nil { mismatch(node, shape, path) }
        case .integer: if node.integer == nil { mismatch(node, shape, path) }
        case .string: if node.string == nil { mismatch(node, shape, path) }
        case .duration, .size, .rate, .percentage, .headerName:
            if !Self.isWellWritten(node, shape) { mismatch(node, shape, path) }
        case .statuses:
            guard let elements = node.elements else { return mismatch(node, shape, path) }
            for (index, element) in elements.enumerated() where StatusSet.range(of: element) == nil {
                problems.append(
                    ConfigProblem(
                        "\(element.described) is no HTTP status", at: element, path: "\(path)[\(index)]",
                        notes: ["statuses are 100 to 599, or a class such as \"5xx\""]))
            }
        case .choice(let choices): choose(node, choices, path)
        case .list(let element):
            guard let elements = node.elements else { return mismatch(node, shape, path) }
            let inner = rules.filter { if case .count = $0.kind { false } else { true } }
            for (index, node) in elements.enumerated() { check(whole: node, element, inner, path: "\(path)[\(index)]") }
        case .map(let value):
            guard let members = node.members else { return mismatch(node, shape, path) }
            for member in members { check(whole: member.value, value, [], path: Self.join(path, member.key)) }
        case .record(let fields): check(node, fields, path: path)
        case .optional(let inner):
            if !node.isNull { check(node, inner, rules, path: path) }
            return
        case .object: if !node.isObject { mismatch(node, shape, path) }
        case .either(let shapes):
            guard let meant = shapes.first(where: { Self.accepts($0, node) }) else { return mismatch(node, shape, path) }
            return check(whole: node, meant, rules, path: path)
        }
        if problems.count == before { for rule in rules { check(node, rule, shape, path) } }
    }

    /// A value that nothing is merged into, so what it lacks is missing.
    private mutating func check(whole node: ConfigNode, _ shape: ConfigShape, _ rules: [ConfigRule], path: String) {
        check(node, shape, rules, path: path)
        if let fields = shape.fields, node.isObject { requirePresence(node, fields, path: path, at: node) }
    }

    private static func isWellWritten(_ node: ConfigNode, _ shape: ConfigShape) -> Bool {
        switch shape {
        case .duration: Nanoseconds(config: node) != nil
        case .size: ByteCount(config: node) != nil
        case .rate: Rate(config: node) != nil
        case .percentage: Percentage(config: node) != nil
        case .headerName: HeaderName(config: node) != nil
        default: true
        }
    }

    private static func accepts(_ shape: ConfigShape, _ node: ConfigNode) -> Bool {
        switch shape.unwrapped {
        case .bool: node.bool != nil
        case .integer: node.integer != nil
        case .string, .duration, .size, .rate, .percentage, .headerName, .choice: node.string != nil
        case .list, .statuses: node.elements != nil
        case .map, .record, .object: node.isObject
        case .optional, .either: false
        }
    }

    private mutating func choose(_ node: ConfigNode, _ choices: [String], _ path: String) {
        guard let text = node.string else { return mismatch(node, .choice(choices), path) }
        guard !choices.contains(text) else { return }
        problems.append(
            ConfigProblem(
                "\(name(path)) may not be \(JSONWriter.quoted(text))", at: node, path: path,
                suggestion: Spelling.suggestion(for: text, among: choices),
                notes: ["choices: \(choices.joined(separator: ", "))"]))
    }

    private mutating func mismatch(_ node: ConfigNode, _ shape: ConfigShape, _ path: String) {
        var suggestion: String?
        var label: String?
        switch (shape.unwrapped, node.value) {
        case (.integer, .string(let text)) where Int64(text) != nil: label = "write \(text) without quotes"
        case (.bool, .string(let text)) where text == "true" || text == "false": label = "write \(text) without quotes"
        case (.list(let element), _) where Self.accepts(element, node): label = "write [\(node.json.prefix(60))]"
        case (.size, .string(let text)):
            suggestion = Quantity.sizes.lazy.compactMap { unit -> String? in
                guard let letter = text.last(where: \.isLetter), letter.isLetter else { return nil }
                let digits = text.prefix { $0.isNumber || $0 == "." }
                let asked = text.dropFirst(digits.count).lowercased().replacing(" ", with: "")
                let known = unit.name.lowercased()
                return asked == known || asked + "ib" == known || asked.dropLast() + "ib" == known ? "\(digits)\(unit.name)" : nil
            }.first.flatMap { Quantity.parse($0, Quantity.sizes) == nil ? nil : $0 }
        case (.percentage, .integer(let number)) where 0...100 ~= number: label = "write \"\(number)%\""
        case (.rate, .integer(let number)) where number >= 0: label = "write \"\(number)/s\""
        case (.duration, .integer(let number)) where number >= 0: label = "write \"\(number)ms\" or \"\(number)s\""
        default: break
        }
        problems.append(
            ConfigProblem(
                "\(name(path)) takes \(shape.expectation), not \(node.described)", at: node, path: path, suggestion: suggestion,
                label: label, notes: shape.spelling.map { [$0] } ?? []))
    }

    // MARK: Rules

    private mutating func check(_ node: ConfigNode, _ rule: ConfigRule, _ shape: ConfigShape, _ path: String) {
        switch rule.kind {
        case .amount(let least, let most):
            guard let amount = Self.amount(node, shape) else { return }
            if amount < least || amount > most { break } else { return }
        case .count(let least, let most):
            let count = node.string.map(\.utf8.count) ?? node.elements?.count ?? node.members?.count ?? least
            if count == 0, least > 0 {
                problems.append(ConfigProblem("\(name(path)) is empty", at: node, path: path, notes: [rule.text(for: shape)]))
                return
            }
            if count < least || count > most { break } else { return }
        case .label:
            guard let text = node.string, !ConfigRule.isLabel(text) else { return }
            let mended = String(text.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }.drop { $0 == "-" })
            problems.append(
                ConfigProblem(
                    "\(JSONWriter.quoted(text)) is no name: a name is a DNS label", at: node, path: path,
                    suggestion: ConfigRule.isLabel(mended) ? mended : nil, notes: [rule.text(for: shape)]))
            return
        case .domain:
            guard let text = node.string, !ConfigRule.isDomain(text) else { return }
            problems.append(
                ConfigProblem("\(JSONWriter.quoted(text)) is no domain", at: node, path: path, notes: ["like shop.internal: \(rule.text(for: shape))"]))
            return
        case .address:
            guard let text = node.string, !ConfigRule.isAddress(text) else { return }
            problems.append(
                ConfigProblem(
                    "\(JSONWriter.quoted(text)) is no address", at: node, path: path,
                    notes: ["an IPv4 or IPv6 address such as 10.0.0.7 or fd00::7; names are not looked up"]))
            return
        case .path:
            guard let text = node.string, !text.hasPrefix("/") else { return }
            problems.append(
                ConfigProblem(
                    "a path begins with /", at: node, path: path, suggestion: text.isEmpty ? "/" : "/\(text)"))
            return
        case .unsupported(let value):
            guard node.string == value else { return }
            problems.append(ConfigProblem("\(name(path)): \(JSONWriter.quoted(value)) is not yet supported", at: node, path: path))
            return
        }
        problems.append(
            ConfigProblem(
                "\(name(path)) is \(node.json.prefix(60)), out of bounds", at: node, path: path, label: rule.text(for: shape)))
    }

    /// In the base unit of the shape; nil if it is no amount.
    private static func amount(_ node: ConfigNode, _ shape: ConfigShape) -> Int64? {
        switch shape.unwrapped {
        case .integer: node.integer
        case .duration: Nanoseconds(config: node)?.count
        case .size: ByteCount(config: node)?.count
        case .percentage: Percentage(config: node)?.millionths
        case .rate: Rate(config: node)?.count
        default: nil
        }
    }

    // MARK: Words

    package static func join(_ path: String, _ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// The last word of a path, in quotes.
    private func name(_ path: String) -> String {
        JSONWriter.quoted(path.split(separator: ".").last.map(String.init) ?? subject)
    }

    /// `filter "retry"`, or `"backoff" of filter "retry"` further down.
    private func subject(_ path: String) -> String {
        guard path != root, path.hasPrefix(root) else { return subject }
        let inner = path.dropFirst(root.count).drop { $0 == "." }
        return inner.isEmpty ? subject : "\(JSONWriter.quoted(inner)) of \(subject)"
    }
}
