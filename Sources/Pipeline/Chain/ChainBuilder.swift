/// Which row of a chain's filter tables holds for a service and a rule of its Route.
package struct ScopeTable: Sendable, Equatable {
    /// Per service of the traffic part.
    package private(set) var ofService: [UInt16] = []
    /// Per service and rule.
    package private(set) var ofRule: [[UInt16]] = []
    /// The layers of each scope above the chain's stage, the weakest first; scope 0 has none.
    package private(set) var layers: [[SettingsLayer]] = [[]]

    /// More distinct overrides than a scope index holds.
    package static let scopesMax = 65_535

    /// One scope for each service and each rule that says something of its own.
    package init(_ services: [TrafficPart.ServiceEntry]) {
        for service in services {
            let base = add(service.settings, over: [])
            ofService.append(base)
            ofRule.append((service.route ?? []).map { $0.settings.isEmpty ? base : add($0.settings, over: service.settings) })
        }
    }

    private mutating func add(_ settings: [SettingsLayer], over base: [SettingsLayer]) -> UInt16 {
        guard !settings.isEmpty, layers.count < Self.scopesMax else { return 0 }
        layers.append(base + settings)
        return UInt16(layers.count - 1)
    }
}

/// Turns a snapshot into a chain for one event loop.
///
/// The same call checks a chain before it is accepted and builds it on every loop afterwards; it depends on nothing but its
/// arguments, so what passed the check builds.
package struct ChainBuilder {
    package enum Direction: String, Sendable, CaseIterable { case inbound, outbound }

    private let registry: FilterRegistry
    private let context: BuildContext

    package init(registry: FilterRegistry, context: BuildContext) {
        self.registry = registry
        self.context = context
    }

    /// Why a chain was refused: every reason, in words for an operator.
    package struct Refusal: Error, Sendable, Equatable {
        package let problems: [String]
        package init(_ problems: [String]) { self.problems = problems }
    }

    /// The chain for `loop`, in memory of its own; `release` frees it.
    package func build(
        _ direction: Direction, from snapshot: Snapshot, generation: UInt64, loop: Int
    ) throws(Refusal) -> UnsafeMutablePointer<Chain> {
        let isInbound = direction == .inbound
        let stages = isInbound ? snapshot.chain.inbound : snapshot.chain.outbound
        let mesh = isInbound ? snapshot.chain.inboundSettings : snapshot.chain.outboundSettings
        let scopes = ScopeTable(isInbound ? [] : snapshot.traffic.services)
        let above = isInbound ? [snapshot.traffic.inboundSettings] : scopes.layers
        let lease = context.shared.makeLease()

        var problems: [String] = []
        var columns: [[any Filter]] = []
        var slotStart = [0]
        for stage in stages {
            guard let descriptor = registry[stage.filter] else {
                problems.append("\(place(stage.origin))stage \"\(stage.id)\": this sidecar has no filter \"\(stage.filter)\"")
                continue
            }
            var made: [String: any Filter] = [:]
            var column: [any Filter] = []
            var slotEnd = slotStart[slotStart.count - 1]
            for layers in above.map({ self.layers(for: stage, mesh: mesh, above: $0) }) {
                let key = layers.map(\.node.json).joined(separator: "\u{1F}")
                if let known = made[key] {
                    column.append(known)
                    continue
                }
                var setup = StageSetup(
                    id: stage.id, filter: stage.filter, isInbound: isInbound, snapshot: snapshot, scopes: scopes, context: context,
                    lease: lease, loop: loop, slotStart: slotStart[slotStart.count - 1])
                let (filter, found) = descriptor.make(layers, &setup)
                problems += found.filter { $0.severity == .error }.map { "\(place(stage.origin))stage \"\(stage.id)\": \($0.message)" }
                problems += setup.problems.map { "\(place(stage.origin))stage \"\(stage.id)\": \($0)" }
                guard let filter else { break }
                made[key] = filter
                column.append(filter)
                slotEnd = max(slotEnd, setup.slotEnd)
            }
            columns.append(column)
            // The next stage's slots begin on a word.
            slotStart.append((slotEnd + 7) & ~7)
        }
        guard problems.isEmpty else { throw Refusal(problems) }
        let rows = above.indices.map { scope in columns.map { $0[scope] } }
        do throws(ChainError) {
            let chain = UnsafeMutablePointer<Chain>.allocate(capacity: 1)
            unsafe try chain.initialize(
                to: Chain(
                    generation: generation, stageIDs: stages.map(\.id), rows: rows, slotStart: slotStart, owned: [lease]))
            return unsafe chain
        } catch {
            throw Refusal([Self.words(for: error)])
        }
    }

    /// Whether both chains of a snapshot can be built here.
    package func check(_ snapshot: Snapshot) -> [String] {
        var problems: [String] = []
        for direction in Direction.allCases {
            do {
                let chain = unsafe try build(direction, from: snapshot, generation: 0, loop: 0)
                unsafe Self.release(chain)
            } catch {
                problems += error.problems.map { "\(direction.rawValue) chain: \($0)" }
            }
        }
        return problems
    }

    /// Frees a chain that nothing uses any more.
    package static func release(_ chain: UnsafeMutablePointer<Chain>) {
        unsafe chain.deinitialize(count: 1)
        unsafe chain.deallocate()
    }

    private func layers(for stage: ChainPart.Stage, mesh: [SettingsLayer], above: [SettingsLayer]) -> [ConfigLayer] {
        var layers: [ConfigLayer] = []
        for settings in mesh { append(settings, stage.id, to: &layers) }
        layers.append(ConfigLayer(label: "stage \(stage.id)", node: node(stage.config, stage.origin)))
        for settings in above { append(settings, stage.id, to: &layers) }
        return layers
    }

    private func append(_ settings: SettingsLayer, _ stage: String, to layers: inout [ConfigLayer]) {
        guard let text = settings.stages[stage] else { return }
        layers.append(ConfigLayer(label: settings.origin.resource, node: node(text, settings.origin)))
    }

    private func node(_ text: String, _ origin: Origin) -> ConfigNode {
        ConfigReader.read(text, name: origin.file.isEmpty ? origin.resource : origin.file).root ?? .empty
    }

    private func place(_ origin: Origin) -> String {
        origin.file.isEmpty ? "\(origin.resource): " : "\(origin.file):\(origin.line): "
    }

    private static func words(for error: ChainError) -> String {
        switch error {
        case .noStages: "a chain needs at least the stage \"router\""
        case .tooManyStages(let count): "\(count) stages; a chain holds at most \(ExchangeMemory.stagesMax)"
        case .noRouter: "no stage of the chain is a router: nothing would pick an endpoint"
        case .slotsTooLarge(let bytes): "the stages' slots take \(bytes) bytes; a chain holds at most \(ExchangeMemory.slotBytesMax)"
        }
    }
}
