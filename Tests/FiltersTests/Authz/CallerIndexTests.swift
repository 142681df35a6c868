import Pipeline
import Testing
import WeftTesting

@Suite("Finding the rules that name a caller")
struct CallerIndexTests {
    private struct Caller {
        var service: String
        var namespace: String
        var domain = "shop.internal"
        var identity: String { "spiffe://\(domain)/ns/\(namespace)/sa/\(service)" }
    }

    private static let services = ["order", "payment", "a", "b"]
    private static let namespaces = ["default", "test"]

    private static func source(_ random: inout Random) -> AccessPart.Source {
        let namespace = namespaces.randomElement(using: &random)!
        return switch Int.random(in: 0..<12, using: &random) {
        case 0: .external
        case 1: .prefix("spiffe://shop.internal/ns/\(namespace)/")
        case 2...4: .namespace(namespace)
        default: .service(namespace: namespace, name: services.randomElement(using: &random)!)
        }
    }

    private static func takes(_ source: AccessPart.Source, _ caller: Caller?) -> Bool {
        guard let caller else { return source == .external }
        return switch source {
        case .external: false
        case .prefix(let prefix): caller.identity.hasPrefix(prefix)
        case .namespace(let name): caller.namespace == name && caller.domain == "shop.internal"
        case .service(let namespace, let name): caller.service == name && caller.namespace == namespace && caller.domain == "shop.internal"
        }
    }

    /// The first denying rule's words, "" for allowed, by trying all rules in order.
    private static func decision(_ policies: [AccessPart.Policy], _ caller: Caller?, _ method: String) -> String {
        var allows = false
        for policy in policies where !policy.isShadow {
            for (index, rule) in policy.rules.enumerated() {
                guard rule.from.isEmpty || rule.from.contains(where: { takes($0, caller) }) else { continue }
                guard rule.to.isEmpty || rule.to.contains(where: { $0.methods.contains(method) }) else { continue }
                if policy.action == .deny { return "denied by AccessPolicy \(policy.name), rule \(index + 1)\n" }
                allows = true
            }
        }
        // Denials go before allows whatever their order: the loop above returned only at a denial.
        let targeted = policies.filter { $0.action == .allow && !$0.isShadow }
        if allows || targeted.isEmpty { return "" }
        return "denied: no allow policy of the service matches (\(targeted.map(\.name).joined(separator: ", ")))\n"
    }

    @Test("What it decides, and by which rule, is what trying all rules in order decides", arguments: 1...40 as ClosedRange<UInt64>)
    func equivalent(seed: UInt64) throws {
        var random = Random(seed: seed)
        let policies = (0..<Int.random(in: 1...6, using: &random)).map { number in
            AccessPart.Policy(
                name: "p\(number)", action: Int.random(in: 0..<3, using: &random) == 0 ? .deny : .allow,
                isShadow: Int.random(in: 0..<5, using: &random) == 0,
                rules: (0..<Int.random(in: 1...5, using: &random)).map { _ in
                    AccessPart.Rule(
                        from: (0..<Int.random(in: 0...3, using: &random)).map { _ in Self.source(&random) },
                        to: Bool.random(using: &random) ? [] : [.init(methods: [["GET"], ["DELETE", "PUT"]].randomElement(using: &random)!)])
                }, origin: Origin(resource: "x"))
        }
        let harness = try ChainHarness(#"["authz"]"#, inbound: true, world: HarnessWorld(own: "payment", access: AccessPart(policies: policies)))
        var callers: [Caller?] = [nil, Caller(service: "order", namespace: "default", domain: "other.internal")]
        for service in Self.services + ["stranger"] { callers += Self.namespaces.map { Caller(service: service, namespace: $0) } }
        for caller in callers {
            for method in ["GET", "DELETE"] {
                let answer = harness.send(HarnessRequest(method, "/", source: caller?.identity))
                let expected = Self.decision(policies, caller, method)
                #expect(answer.status == (expected.isEmpty ? 200 : 403), "\(String(describing: caller)) \(method) \(policies)")
                if !expected.isEmpty { #expect(answer.body == expected) }
            }
        }
    }
}
