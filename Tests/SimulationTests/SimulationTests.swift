import FoundationEssentials
import Pipeline
import Testing

/// The whole mesh by seed: `Tests/SimulationTests/README.md`.
struct SimulationTests {
    /// Ticks with faults, and the most that may pass after them until all is well: 30 s and 60 s.
    private static let faultTicks = 150
    private static let settleTicksMax = 300

    /// `WEFT_SEED=123`: that one; `WEFT_SEEDS=10000`: so many, for a night.
    private static let seeds: [UInt64] = {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["WEFT_SEED"].flatMap(UInt64.init) { return [seed] }
        return Array(0..<(environment["WEFT_SEEDS"].flatMap(UInt64.init) ?? 200))
    }()

    /// The run of a seed, and the first thing that went wrong.
    private static func run(_ seed: UInt64) -> World {
        let world = World(seed: seed)
        for _ in 0..<faultTicks where world.violations.isEmpty { world.step() }
        world.calm()
        var left = settleTicksMax
        while world.violations.isEmpty, left > 0, world.unsettled != nil {
            world.step()
            left -= 1
        }
        world.flowed = []
        // Not asked after every step: it takes longer than a step.
        while world.violations.isEmpty, left > 0, left.isMultiple(of: 10) ? world.unsettled != nil || !world.stalled.isEmpty : true {
            world.step()
            left -= 1
        }
        if world.violations.isEmpty {
            if let missing = world.unsettled { world.violate("after faults stopped: \(missing)") }
            if !world.stalled.isEmpty { world.violate("after faults stopped nothing flows: \(world.stalled)") }
        }
        return world
    }

    private static func report(_ world: World) -> Comment {
        """
        SEED=\(world.seed)
        replay: WEFT_SEED=\(world.seed) swift test --filter Simulation
        \(world.violations.prefix(5).joined(separator: "\n"))
        what led to it:
        \(world.trace.tail.suffix(40).joined(separator: "\n"))
        """
    }

    @Test("Through crashes, torn disks, partitions, skewed clocks and bad changes the mesh keeps its promises and comes back", arguments: seeds)
    func holds(seed: UInt64) {
        let world = Self.run(seed)
        if !world.violations.isEmpty || Self.seeds.count == 1 { print("SEED=\(seed) \(world.summary)") }
        #expect(world.violations.isEmpty, Self.report(world))
    }

    @Test("The same seed gives the same events, to the last one", arguments: seeds.prefix(2))
    func replays(seed: UInt64) {
        let (first, second) = (Self.run(seed), Self.run(seed))
        #expect(first.trace.hash == second.trace.hash)
        #expect(first.trace.events == second.trace.events)
        #expect(first.trace.events > 100)
    }
}
