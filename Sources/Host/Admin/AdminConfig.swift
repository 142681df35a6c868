internal import Pipeline

/// `GET /config`: what a sidecar runs on, and who said so.
enum AdminConfig {
    static func json(of sidecar: Sidecar) -> String {
        let running = sidecar.running
        var writer = JSONWriter(pretty: true)
        writer.object { writer in
            writer.member("name", sidecar.settings.name)
            writer.member("service", sidecar.settings.workload.service)
            writer.member("namespace", sidecar.settings.workload.namespace)
            writer.member("version", sidecar.settings.workload.version)
            if let credentials = sidecar.identity?.credentials {
                writer.member("identity", credentials.id.description)
                writer.member("certificateExpires", Timestamp(credentials.identity.expires).description)
            }
            if let push = sidecar.push {
                writer.member("connected", push.isConnected)
                if let refusal = push.refusal { writer.member("refusedByControlPlane", refusal) }
            }
            writer.key("parts")
            writer.array { writer in
                for part in SnapshotPart.allCases {
                    writer.object { writer in
                        writer.member("part", part.rawValue)
                        writer.member("version", running.versions[part] ?? "")
                        writer.member("source", (running.sources[part] ?? .waiting).rawValue)
                        if let refusal = sidecar.push?.refusals[part] { writer.member("refused", refusal) }
                    }
                }
            }
            writer.key("chains")
            writer.object { writer in
                writer.key("inbound")
                writer.stages(running.snapshot.chain.inbound)
                writer.key("outbound")
                writer.stages(running.snapshot.chain.outbound)
            }
            writer.key("snapshot")
            writer.object { writer in
                for part in Snapshot.Part.allCases {
                    writer.key(part.rawValue)
                    writer.raw(SnapshotCodec.encode(part, of: running.snapshot))
                }
            }
        }
        return writer.text + "\n"
    }
}

extension JSONWriter {
    fileprivate mutating func stages(_ stages: [ChainPart.Stage]) {
        array { writer in
            for stage in stages {
                writer.object { writer in
                    writer.member("id", stage.id)
                    writer.member("filter", stage.filter)
                    writer.member("origin", stage.origin.file.isEmpty ? stage.origin.resource : "\(stage.origin.file):\(stage.origin.line)")
                    if stage.required { writer.member("required", true) }
                }
            }
        }
    }
}
