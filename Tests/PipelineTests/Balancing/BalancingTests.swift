import Pipeline
import Testing

private let start = Instant(nanoseconds: 5_000_000_000)

private func endpoints(_ count: Int, _ change: (inout Endpoint) -> Void = { _ in }) -> [Endpoint] {
    (0..<count).map { index in
        var endpoint = Endpoint(id: UInt64(index + 1), address: .ipv4(0x7F00_0001, port: UInt16(truncatingIfNeeded: 8_000 + index)))
        change(&endpoint)
        return endpoint
    }
}

private func makeSet(_ endpoints: [Endpoint], _ states: EndpointStates = EndpointStates(), failures: UInt16 = 1, cap: Int = 50) -> EndpointSet {
    EndpointSet(
        upstream: "payment/v1", endpoints: endpoints,
        policy: .init(
            accrual: .init(consecutiveFailures: failures, backoffBase: .seconds(1), jitterPercent: 0, probeDeadline: .seconds(5)),
            maxEjectionPercent: cap),
        states: states)
}

extension Balancer {
    fileprivate func use(
        _ report: FailureAccrual.Report, at now: Instant = start, avoiding tried: TriedSet = TriedSet(), _ random: inout Random
    ) -> (id: UInt64, probe: Bool, effect: FailureAccrual.Effect)? {
        guard var choice = pick(avoiding: tried, at: now, using: &random) else { return nil }
        let id = choice.endpoint.id, probe = choice.isProbe
        return (id, probe, finish(&choice, report, at: now, using: &random))
    }

    /// Makes endpoint `id` fail once.
    fileprivate func fail(_ id: UInt64, of count: Int, at now: Instant = start, _ random: inout Random) {
        var others = TriedSet()
        for other in 1...UInt64(count) where other != id { others.insert(other) }
        _ = use(.failure, at: now, avoiding: others, &random)
    }
}

struct BalancerTests {
    @Test("No endpoints: nothing is picked; one: it is, every time")
    func few() {
        var random = Random(seed: 1)
        let none = makeSet([])
        withExtendedLifetime(none) { #expect(none.balancer.use(.success, &random) == nil) }
        let one = makeSet(endpoints(1))
        #expect((0..<20).allSatisfy { _ in one.balancer.use(.success, &random)?.id == 1 })
        let weightless = makeSet(endpoints(3) { $0.weight = 0 })
        withExtendedLifetime(weightless) { #expect(weightless.balancer.isEmpty) }
    }

    @Test("Idle endpoints of equal weight are picked evenly")
    func even() {
        var random = Random(seed: 2)
        let set = makeSet(endpoints(10))
        var counts: [UInt64: Int] = [:]
        for _ in 0..<10_000 { counts[set.balancer.use(.success, &random)!.id, default: 0] += 1 }
        #expect(counts.count == 10)
        #expect(counts.values.allSatisfy { (900...1_100).contains($0) })
    }

    @Test("Idle endpoints are picked in proportion to their weights")
    func weights() {
        var random = Random(seed: 3)
        let set = makeSet(endpoints(3) { $0.weight = [1, 2, 7][Int($0.id) - 1] })
        var counts: [UInt64: Int] = [:]
        for _ in 0..<10_000 { counts[set.balancer.use(.success, &random)!.id, default: 0] += 1 }
        #expect((900...1_100).contains(counts[1]!) && (1_880...2_120).contains(counts[2]!) && (6_850...7_150).contains(counts[3]!))
    }

    @Test("The busier of two is passed over, and loads stay level without any knowledge of all")
    func leastRequest() {
        var random = Random(seed: 4)
        let set = makeSet(endpoints(100))
        var out: [Balancer.Choice] = []
        for _ in 0..<10_000 { out.append(set.balancer.pick(avoiding: TriedSet(), at: start, using: &random)!) }
        let loads = set.status().map(\.active)
        #expect(loads.reduce(0, +) == 10_000)
        // Random placement would spread by more than ± 30; two choices stay within log log n.
        #expect(loads.min()! >= 95 && loads.max()! <= 105)
        for index in out.indices { set.balancer.finish(&out[index], .success, at: start, using: &random) }
        #expect(set.status().allSatisfy { $0.active == 0 })
    }

    @Test("With requests out, load follows weight")
    func weightedLoad() {
        var random = Random(seed: 5)
        let set = makeSet(endpoints(2) { $0.weight = $0.id == 1 ? 1 : 3 })
        for _ in 0..<4_000 { _ = set.balancer.pick(avoiding: TriedSet(), at: start, using: &random) }
        #expect((990...1_010).contains(set.status().first { $0.endpoint.id == 1 }!.active))
    }

    @Test("Endpoints already tried are avoided as long as there is another")
    func tried() {
        var random = Random(seed: 6)
        let set = makeSet(endpoints(5))
        for _ in 0..<200 {
            var tried = TriedSet()
            for _ in 0..<5 { tried.insert(set.balancer.use(.success, avoiding: tried, &random)!.id) }
            #expect((UInt64(1)...5).allSatisfy(tried.contains))
            #expect(set.balancer.use(.success, avoiding: tried, &random) != nil)
        }
    }

    @Test("An endpoint that fails is ejected, gets one probe after the back-off, and comes back with it")
    func ejection() {
        var random = Random(seed: 7)
        let set = makeSet(endpoints(4))
        set.balancer.fail(2, of: 4, &random)
        #expect((0..<200).allSatisfy { _ in set.balancer.use(.success, &random)!.id != 2 })
        let later = start + .seconds(1)
        var probe = Balancer.Choice()
        for _ in 0..<50 where probe.isNone {
            var choice = set.balancer.pick(avoiding: TriedSet(), at: later, using: &random)!
            if choice.isProbe { probe = choice } else { set.balancer.finish(&choice, .success, at: later, using: &random) }
        }
        #expect(probe.isProbe && probe.endpoint.id == 2)
        #expect((0..<200).allSatisfy { _ in set.balancer.use(.success, at: later, &random)!.id != 2 }, "only one probe")
        #expect(set.balancer.finish(&probe, .success, at: later, using: &random) == .recovered)
        #expect((0..<200).contains { _ in set.balancer.use(.success, at: later, &random)!.id == 2 })
    }

    @Test("A probe that never reports is replaced after its deadline")
    func lostProbe() {
        var random = Random(seed: 8)
        let set = makeSet(endpoints(2))
        set.balancer.fail(1, of: 2, &random)
        func probes(at now: Instant) -> Int {
            (0..<100).filter { _ in set.balancer.pick(avoiding: TriedSet(), at: now, using: &random)!.isProbe }.count
        }
        #expect(probes(at: start + .seconds(1)) == 1)
        #expect(probes(at: start + .milliseconds(5_999)) == 0)
        #expect(probes(at: start + .seconds(6)) == 1)
    }

    @Test("No more than the share is ejected, at least one may be, never the last", arguments: [(10, 50, 5), (10, 5, 1), (2, 100, 1), (1, 100, 0), (10, 0, 0)])
    func cap(count: Int, percent: Int, ejected: Int) {
        var random = Random(seed: 9)
        let set = makeSet(endpoints(count), cap: percent)
        for _ in 0..<500 { _ = set.balancer.use(.failure, &random) }
        #expect(set.status().filter { $0.phase != .flowing }.count == ejected)
        #expect(set.balancer.ejectionsHeld > 0)
        #expect(set.balancer.panics == 0)
    }

    @Test("When an update leaves only ejected endpoints, they are picked all the same")
    func panic() {
        var random = Random(seed: 10)
        let states = EndpointStates()
        let all = endpoints(4)
        let before = makeSet(all, states)
        before.balancer.fail(1, of: 4, &random)
        before.balancer.fail(2, of: 4, &random)
        let after = makeSet(Array(all.prefix(2)), states)
        var choice = after.balancer.pick(avoiding: TriedSet(), at: start, using: &random)!
        #expect(choice.isPanic && after.balancer.panics == 1)
        #expect(after.balancer.finish(&choice, .success, at: start, using: &random) == FailureAccrual.Effect.none)
        #expect(after.status().allSatisfy { $0.active == 0 })
    }

    @Test("Unhealthy and draining endpoints get nothing; with too few healthy ones health is ignored, draining is not")
    func health() {
        var random = Random(seed: 11)
        let mostly = makeSet(endpoints(10) { $0.isHealthy = $0.id > 4; $0.isDraining = $0.id == 10 })
        #expect(!mostly.isPanicking)
        #expect((0..<500).allSatisfy { _ in (5...9).contains(mostly.balancer.use(.success, &random)!.id) })
        let hardly = makeSet(endpoints(10) { $0.isHealthy = $0.id > 7; $0.isDraining = $0.id == 10 })
        #expect(hardly.isPanicking)
        let used = Set((0..<500).map { _ in hardly.balancer.use(.success, &random)!.id })
        #expect(used == Set(1...9))
        let leaving = makeSet(endpoints(3) { $0.isDraining = true })
        #expect(leaving.balancer.use(.success, &random) != nil)
    }

    @Test("An update keeps active counts and ejections by identity, and a permit from the old set comes back into the new")
    func update() {
        var random = Random(seed: 12)
        let states = EndpointStates()
        var old: EndpointSet? = makeSet(endpoints(4), states)
        old!.balancer.fail(3, of: 4, &random)
        var choice = old!.balancer.pick(avoiding: TriedSet(), at: start, using: &random)!
        let id = choice.endpoint.id
        let new = makeSet(endpoints(6).reversed(), states)
        #expect(new.status().first { $0.endpoint.id == id }?.active == 1)
        #expect(new.status().first { $0.endpoint.id == 3 }?.phase == .tripped)
        old!.balancer.finish(&choice, .success, at: start, using: &random)
        #expect(new.status().allSatisfy { $0.active == 0 })
        old = nil
        #expect(states.count == 6)
    }

    @Test("States go with the last set that contains them")
    func release() {
        let states = EndpointStates()
        var set: EndpointSet? = makeSet(endpoints(5) + endpoints(5), states)
        #expect(set?.endpoints.count == 5 && states.count == 5)
        set = nil
        #expect(states.count == 0)
    }

    @Test("Loops that pick and finish at once leave every count at zero")
    func race() async {
        let set = makeSet(endpoints(8), failures: 3)
        await concurrently { thread in
            var random = Random(seed: UInt64(thread))
            var out: [Balancer.Choice] = []
            for step in 0..<3_000 {
                let now = start + .milliseconds(Int64(step))
                if out.count < 20, let choice = set.balancer.pick(avoiding: TriedSet(), at: now, using: &random) { out.append(choice) }
                if Bool.random(using: &random), !out.isEmpty {
                    let report: FailureAccrual.Report = [.success, .failure, .noWord].randomElement(using: &random)!
                    set.balancer.finish(&out[0], report, at: now, using: &random)
                    out.removeFirst()
                }
            }
            for index in out.indices { set.balancer.finish(&out[index], .noWord, at: start, using: &random) }
        }
        #expect(set.status().allSatisfy { $0.active == 0 })
    }

    @Test("A thousand endpoints, half of them ejected: picks stay right")
    func many() {
        var random = Random(seed: 13)
        let set = makeSet(endpoints(1_000))
        for _ in 0..<20_000 { _ = set.balancer.use(.failure, &random) }
        #expect(set.status().filter { $0.phase == .tripped }.count == 500)
        let ejected = Set(set.status().filter { $0.phase == .tripped }.map(\.endpoint.id))
        #expect((0..<5_000).allSatisfy { _ in !ejected.contains(set.balancer.use(.success, &random)!.id) })
    }
}

struct TriedSetTests {
    @Test("Remembers eight, then forgets the oldest; zero is an id like any other")
    func eight() {
        var tried = TriedSet()
        #expect(!tried.contains(0) && tried.isEmpty)
        for id in UInt64(0)..<8 { tried.insert(id) }
        #expect((UInt64(0)..<8).allSatisfy(tried.contains))
        tried.insert(3)
        #expect(tried.contains(0))
        tried.insert(8)
        #expect(!tried.contains(0) && tried.contains(8) && tried.contains(1))
    }
}

struct WeightedSplitTests {
    @Test("10,000 draws divide by weight", arguments: [([90, 10], 900...1_100), ([50, 50], 4_800...5_200), ([0, 100], 10_000...10_000), ([100, 0], 0...0)] as [([UInt32], ClosedRange<Int>)])
    func canary(weights: [UInt32], second: ClosedRange<Int>) throws {
        var random = Random(seed: 20_261_122)
        let split = try #require(WeightedSplit(weights: weights))
        #expect(second.contains((0..<10_000).filter { _ in split.index(draw: random.next()) == 1 }.count))
    }

    @Test("Every place belongs to the backend whose interval holds it, the ends included")
    func intervals() throws {
        let weights: [UInt32] = [0, 3, 0, 0, 5, 1, 0]
        let split = try #require(WeightedSplit(weights: weights))
        let expected = weights.enumerated().flatMap { Array(repeating: $0.offset, count: Int($0.element)) }
        for place in 0..<9 {
            // The smallest draw that lands on this place.
            let draw = (UInt64.max / 9 + 1) * UInt64(place)
            #expect(split.index(draw: draw) == expected[place])
        }
        #expect(split.index(draw: .max) == 5)
        #expect(split.index(draw: 0) == 1)
    }

    @Test("No backend, no weight, or too many backends is no split")
    func refused() {
        #expect(WeightedSplit(weights: []) == nil)
        #expect(WeightedSplit(weights: [0, 0]) == nil)
        #expect(WeightedSplit(weights: Array(repeating: 1, count: 1_025)) == nil)
        #expect(WeightedSplit(weights: Array(repeating: .max, count: 1_024)) != nil)
    }
}
