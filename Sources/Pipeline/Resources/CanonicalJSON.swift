extension Resource {
    /// The one way to write it: declared fields in their order, names of the operator's sorted, nothing that was not
    /// written, no comments. What the store keeps and `weft get -o json` prints; reading it gives the same resource.
    package func write(to writer: inout JSONWriter) { writer.canonical(node, .record(Self.fields(of: key.kind))) }

    package func json(pretty: Bool = false) -> String {
        var writer = JSONWriter(pretty: pretty)
        write(to: &writer)
        return writer.text
    }
}

extension JSONWriter {
    fileprivate mutating func canonical(_ node: ConfigNode, _ shape: ConfigShape) {
        switch (shape.unwrapped, node.value) {
        case (.record(let fields), .object):
            object { writer in
                for field in fields {
                    guard let value = node[field.key] else { continue }
                    writer.key(field.key)
                    writer.canonical(value, field.shape)
                }
            }
        case (.map(let value), .object(let members)): sorted(members) { $0.canonical($1, value) }
        case (.object, .object(let members)): sorted(members) { $0.canonical($1, .object) }
        case (.list(let element), .array(let nodes)): array { for node in nodes { $0.canonical(node, element) } }
        case (.either(let shapes), .object):
            canonical(node, shapes.first { $0.fields != nil } ?? .object)
        default: self.node(node)
        }
    }

    private mutating func sorted(_ members: [ConfigNode.Member], _ write: (inout JSONWriter, ConfigNode) -> Void) {
        object { writer in
            for member in members.sorted(by: { $0.key < $1.key }) {
                writer.key(member.key)
                write(&writer, member.value)
            }
        }
    }
}
