import ControlPlane
import Pipeline

/// A part's text on its way to a sidecar, and the name that the codec gives this very text.
struct PartText: Equatable {
    let part: SnapshotPart
    let text: String
    let version: String

    init(_ part: SnapshotPart, of snapshot: Snapshot) {
        self.init(part, text: SnapshotCodec.encode(part.inSnapshot, of: snapshot))
    }

    init(_ part: SnapshotPart, text: String) {
        self.part = part
        self.text = text
        version = SnapshotCodec.version(of: text)
    }
}

extension SnapshotPart {
    var inSnapshot: Snapshot.Part {
        switch self {
        case .trust: .trust
        case .access: .access
        case .traffic: .traffic
        case .chain: .chain
        }
    }
}

// What the checks ask of a snapshot, found without the code that enforces it.
extension Snapshot {
    /// Services of the namespace that no path of this one is open to.
    var denied: Set<String> {
        var denied: Set<String> = []
        for policy in access.policies where policy.action == .deny && !policy.isShadow {
            for rule in policy.rules where rule.to.allSatisfy(\.paths.isEmpty) {
                for case .service(_, let name) in rule.from { denied.insert(name) }
            }
        }
        return denied
    }

    /// Where the workload itself is called.
    var ownPorts: [Int] { traffic.services.filter { $0.name == traffic.workload.service }.map(\.port) }

    /// What the outbound chain marks requests with.
    var stamp: String? {
        for stage in chain.outbound where stage.filter == "witness" && stage.id == "top" {
            return ConfigReader.read(stage.config, name: "stamp").root?["stamp"]?.string
        }
        return nil
    }
}
