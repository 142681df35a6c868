import ControlPlane
import Pipeline

/// What operators do to the mesh, well and badly. Every change carries a number of its own, so that no two are alike.
enum Operator {
    static let base = """
        [{"kind":"Mesh","name":"shop","trustDomain":"shop.internal","mtls":"strict","defaultAccess":"allow","egress":"deny"},
        {"kind":"Service","name":"order","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Service","name":"analytics","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Service","name":"inventory","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Service","name":"payment","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Chain","name":"inbound","direction":"inbound","stages":["tls",{"filter":"witness","name":"top"},"stats","authz",
        "ratelimit",{"filter":"timeout","name":"request-timeout"},"router"]},
        \(chain(0, exotic: false))]
        """

    static func chain(_ number: Int, exotic: Bool, breakerFirst: Bool = false) -> String {
        let retry = """
            {"filter":"retry","config":{"maxRetries":3,"budget":{"percent":"20%","minPerSecond":1}}}
            """
        let breaker = """
            {"filter":"breaker","config":{"consecutiveFailures":3,"backoff":{"base":"500ms","max":"2s"},"probeDeadline":"2s"}}
            """
        let watched = "\(breaker),{\"filter\":\"witness\",\"name\":\"below\"}"
        // Above retry a breaker counts exchanges, below it attempts; both are legal.
        let middle = (breakerFirst ? [watched, retry] : [retry, watched]).joined(separator: exotic ? ",\"exotic\"," : ",")
        return """
            {"kind":"Chain","name":"outbound","direction":"outbound","stages":[
            {"filter":"witness","name":"top","config":{"stamp":"c\(number)"}},"stats",
            {"filter":"timeout","name":"request-timeout","config":{"after":"3s"}},\(middle),
            {"filter":"timeout","name":"attempt-timeout","config":{"after":"1s"}},"router","tls"]}
            """
    }

    static func policy(_ number: Int, denies: [String]) -> String {
        let from = denies.map { #"{"service":"\#($0)"}"# }.joined(separator: ",")
        // Without callers a rule denies all; the second rule only makes the policy unlike any other.
        let rule = denies.isEmpty ? "" : #"{"from":[\#(from)]},"#
        return """
            {"kind":"AccessPolicy","name":"gate","target":{"service":"payment"},"action":"deny","rules":[
            \(rule){"from":[{"service":"analytics"}],"to":[{"paths":[{"exact":"/p\(number)"}]}]}]}
            """
    }

    static func route(_ number: Int, v1: Int, v2: Int) -> String {
        """
        {"kind":"Route","name":"payment","service":"payment","rules":[{"name":"r\(number)","backends":[
        {"version":"v1","weight":\(v1)},{"version":"v2","weight":\(v2)}]}]}
        """
    }

    static func settings(_ number: Int) -> String {
        """
        {"kind":"Service","name":"payment","labels":{"n":"\(number)"},"ports":[{"port":8080,"protocol":"http"}],
        "settings":{"attempt-timeout":{"after":"\(400 + number)ms"}}}
        """
    }

    /// Each must be refused, and change nothing.
    static let wrong = [
        #"{"kind":"Route","name":"payment","service":"payments","rules":[{"backends":[{"weight":1}]}]}"#,
        #"{"kind":"Chain","name":"outbound","direction":"outbound","stages":["stats","rooter","tls"]}"#,
        #"{"kind":"Chain","name":"outbound","direction":"outbound","stages":["stats","tls"]}"#,
        #"[{"kind":"Service","name":"analytics","ports":[{"port":8080,"protocol":"http"}],"settings":{"attempt-timeout":{"after":"soon"}}}]"#,
        #"{"kind":"Mesh","name":"shop","trustDomain":"shop.internal","mtls":"stricter"}"#,
        #"{"kind":"Service""#,
    ]
}

extension World {
    func operate(_ plane: Plane) throws(StoreError) {
        if plane.resources[ResourceKey(.mesh, "shop")] == nil { try apply(Operator.base, plane) }
        for node in wantingTokens.sorted() {
            wantingTokens.remove(node)
            try plane.mint(for: nodes[node].service, &random, wall: planeWall.seconds) { [unowned self] token in nodes[node].token = token.text }
        }
        if !faults && !isFinalChangeMade {
            // Whatever was refused before: these must still arrive.
            changeNumber += 1
            isFinalChangeMade = true
            try rotate(plane)
            return try apply(Operator.policy(changeNumber, denies: ["analytics"]), plane)
        }
        guard chance(110) else { return }
        changeNumber += 1
        let number = changeNumber
        switch Int.random(in: 0..<14, using: &random) {
        case 0...2: try apply(Operator.chain(number, exotic: Int.random(in: 0..<3, using: &random) == 0, breakerFirst: Bool.random(using: &random)), plane)
        case 3...5:
            let denies = ["order", "analytics", "inventory"].filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
            try apply(Operator.policy(number, denies: denies), plane)
        case 6, 7:
            let weight = [0, 10, 50, 100].randomElement(using: &random) ?? 0
            try apply(Operator.route(number, v1: weight, v2: 100 - weight), plane)
        case 8: try apply(Operator.settings(number), plane)
        case 9, 10:
            let key = [ResourceKey(.route, "payment"), ResourceKey(.accessPolicy, "gate")].randomElement(using: &random)
            guard let key, plane.resources[key] != nil else { return }
            trace.note("delete \(key)")
            possible = try plane.delete([key]) { [unowned self] in acknowledge($0) }.map(World.texts) ?? possible
        case 11: try rotate(plane)
        default:
            let before = World.texts(plane.resources)
            let wrong = Operator.wrong.randomElement(using: &random) ?? ""
            if try plane.apply(wrong, acknowledged: { _ in }) != nil { violate("a wrong change was taken: \(wrong)") }
            if World.texts(plane.resources) != before { violate("a refused change left something behind") }
        }
    }

    func apply(_ text: String, _ plane: Plane) throws(StoreError) {
        trace.note("apply \(text.prefix(40)) \(changeNumber)")
        guard let result = try plane.apply(text, acknowledged: { [unowned self] in acknowledge($0) }) else {
            return violate("a good change was refused: \(text)")
        }
        possible = World.texts(result)
    }

    private func rotate(_ plane: Plane) throws(StoreError) {
        let root = "root-\(changeNumber)"
        possibleRoot = root
        try plane.rotate(to: root) { [unowned self] in
            acknowledgedRoot = root
            changes += 1
        }
    }

    private func acknowledge(_ resources: ResourceSet) {
        changes += 1
        acknowledged = World.texts(resources)
    }

    static func texts(_ resources: ResourceSet) -> [String: String] {
        resources.resources.reduce(into: [:]) { $0[$1.key.description] = $1.value.json() }
    }
}
