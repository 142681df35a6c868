import Pipeline
import WeftTesting

@testable import ControlPlane

/// One host with one sidecar: its clocks, its disk, and the machines of the process while it runs.
final class Node {
    let index: Int
    let service: String
    let version: String
    let lacksExotic: Bool
    /// How fast its clocks run, in parts per thousand of the true one.
    let rate: Int64
    var wallOffset: Int64
    /// Never goes back; may leap when the process was stopped for a while.
    private(set) var now = Instant.zero + .seconds(1)
    private var behind = Nanoseconds.zero

    // On disk.
    private(set) var disk: [SnapshotPart: (text: PartText, index: Int)] = [:]
    private(set) var certificate: (life: Int64, notAfter: Int64)?
    var token: JoinTokenText?

    // What happens to it.
    var downUntil: Int?
    var stoppedUntil: Int?
    var partitionedUntil = 0
    var isolatedUntil = 0
    var failingUntil = 0
    var hangingUntil = 0

    // The process.
    private(set) var boot = 0
    private(set) var sidecar: Sidecar?

    private unowned let world: World

    init(index: Int, service: String, version: String, lacksExotic: Bool, rate: Int64, wallOffset: Int64, world: World) {
        self.index = index
        self.service = service
        self.version = version
        self.lacksExotic = lacksExotic
        self.rate = rate
        self.wallOffset = wallOffset
        self.world = world
    }

    var name: String { "n\(index)" }
    /// As the control plane knows its sidecar.
    var key: String { SidecarRecord.key("default", service, name) }
    var workload: TrafficPart.WorkloadRef { TrafficPart.WorkloadRef(service: service, namespace: "default", version: version) }
    var address: String { "\(name):8080" }
    var identity: String { HarnessWorld.identity(service) }
    /// Seconds since 1970, as this host believes.
    var wall: Int64 { world.seconds + wallOffset }
    /// A process runs and is not stopped.
    var isRunning: Bool { sidecar != nil && stoppedUntil == nil }

    // === life ===

    func crash(until tick: Int) {
        sidecar?.die()
        sidecar = nil
        stoppedUntil = nil
        downUntil = tick
    }

    func start() {
        downUntil = nil
        boot += 1
        sidecar = Sidecar(self, world)
    }

    /// The world's clock moves; a stopped process finds out later, all at once.
    func elapse(_ time: Nanoseconds) -> Nanoseconds {
        let own = Nanoseconds(time.count / 1000 * rate)
        now = now + own
        guard isRunning else {
            behind = sidecar == nil ? .zero : behind + own
            return .zero
        }
        defer { behind = .zero }
        return own + behind
    }

    // === disk ===

    func keep(_ text: PartText, index: Int) { disk[text.part] = (text, index) }
    func keep(life: Int64, notAfter: Int64) { certificate = (life, notAfter) }
}
