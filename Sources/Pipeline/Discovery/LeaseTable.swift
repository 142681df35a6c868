/// Which workloads take part in the mesh, and how long they are believed without a word.
///
/// A sidecar's registration is stored and lasts; its lease is 30 s of *control-plane uptime* from its last renewal. The
/// clock starts anew with the control plane, so an outage of ours shrinks nothing: everybody has 30 s to be heard again.
///
/// When fewer than half of a service lapse together, they are gone: those hosts died. When half or more do, the likelier
/// story is that *we* cannot hear them. They stay, and as long as somebody of the service is still heard, one more goes
/// per lease, the longest silent first. A service of which nobody is heard keeps all: a wrong address costs a caller one
/// failed connect, an empty set costs it the service.
package struct LeaseTable: Sendable {
    package struct Policy: Sendable {
        package var lease: Nanoseconds = .seconds(30)

        package init() {}
    }

    package struct Registration: Equatable, Sendable {
        package var namespace: String
        package var service: String
        package var version: String
        package var endpoints: [PushMessage.Endpoint]
        /// As its sidecar's probe of the application says.
        package var isHealthy: Bool
        /// It will stop soon: nothing new goes there.
        package var isDraining: Bool

        package init(
            namespace: String, service: String, version: String = "", endpoints: [PushMessage.Endpoint], isHealthy: Bool = true,
            isDraining: Bool = false
        ) {
            self.namespace = namespace
            self.service = service
            self.version = version
            self.endpoints = endpoints
            self.isHealthy = isHealthy
            self.isDraining = isDraining
        }
    }

    private struct Entry {
        var registration: Registration
        var renewed: Instant
    }

    private struct Service: Hashable, Comparable {
        let namespace: String
        let name: String

        static func < (a: Service, b: Service) -> Bool { (a.namespace, a.name) < (b.namespace, b.name) }
    }

    private let policy: Policy
    /// By sidecar.
    private var entries: [String: Entry] = [:]
    private var sidecars: [Service: Set<String>] = [:]
    /// When half a service or more had lapsed and one was let go all the same, or the count was begun.
    private var pacing: [Service: Instant] = [:]

    package init(_ policy: Policy = Policy()) { self.policy = policy }

    // === reading ===

    package var count: Int { entries.count }

    package subscript(sidecar: String) -> Registration? { entries[sidecar]?.registration }

    /// A service's registrations, by sidecar, sorted.
    package func registrations(namespace: String, service: String) -> [(sidecar: String, registration: Registration)] {
        (sidecars[Service(namespace: namespace, name: service)] ?? []).sorted().compactMap { sidecar in
            entries[sidecar].map { (sidecar: sidecar, registration: $0.registration) }
        }
    }

    /// All, sorted by sidecar.
    package var all: [(sidecar: String, registration: Registration)] {
        entries.sorted { $0.key < $1.key }.map { (sidecar: $0.key, registration: $0.value.registration) }
    }

    /// Whether nothing was heard of it for longer than a lease, though it is still in its set.
    package func isSilent(_ sidecar: String, at uptime: Instant) -> Bool {
        entries[sidecar].map { uptime >= $0.renewed + policy.lease } ?? false
    }

    // === events ===

    /// Said hello, or changed. True if that is news: store it and compile again.
    package mutating func register(_ sidecar: String, _ registration: Registration, at uptime: Instant) -> Bool {
        let old = entries[sidecar]?.registration
        if let old, service(old) != service(registration) { forget(sidecar) }
        entries[sidecar] = Entry(registration: registration, renewed: uptime)
        sidecars[service(registration), default: []].insert(sidecar)
        return old != registration
    }

    /// From the store, at start: it has a whole lease to be heard.
    package mutating func restore(_ sidecar: String, _ registration: Registration, at uptime: Instant) {
        _ = register(sidecar, registration, at: uptime)
    }

    /// A heartbeat. False if it is unknown (its lease had lapsed): have it say hello again.
    package mutating func renew(_ sidecar: String, at uptime: Instant) -> Bool {
        guard entries[sidecar] != nil else { return false }
        entries[sidecar]?.renewed = uptime
        return true
    }

    /// The new registration to store, if that is news.
    package mutating func setHealth(_ sidecar: String, isHealthy: Bool, at uptime: Instant) -> Registration? {
        change(sidecar, at: uptime) { $0.isHealthy = isHealthy }
    }

    /// The new registration to store, if that is news.
    package mutating func setDraining(_ sidecar: String, at uptime: Instant) -> Registration? {
        change(sidecar, at: uptime) { $0.isDraining = true }
    }

    /// It left in good order, or an operator removed it: at once, without a cap. False if it was unknown.
    package mutating func remove(_ sidecar: String) -> Bool {
        guard entries[sidecar] != nil else { return false }
        forget(sidecar)
        return true
    }

    /// Removes those whose lease lapsed, within the cap; call it about once a second.
    ///
    /// - Returns: sidecars to delete from the store, sorted.
    package mutating func expire(at uptime: Instant) -> [String] {
        var removed: [String] = []
        for (service, members) in sidecars.sorted(by: { $0.key < $1.key }) {
            let silent = members.filter { isSilent($0, at: uptime) }
            guard !silent.isEmpty else {
                pacing[service] = nil
                continue
            }
            if silent.count * 2 < members.count && pacing[service] == nil {
                removed += silent
                continue
            }
            guard let since = pacing[service] else {
                pacing[service] = uptime
                continue
            }
            guard uptime >= since + policy.lease else { continue }
            pacing[service] = uptime
            guard silent.count < members.count else { continue }
            let longest = silent.min { (entries[$0]?.renewed ?? .zero, $0) < (entries[$1]?.renewed ?? .zero, $1) }
            if let longest { removed.append(longest) }
        }
        for sidecar in removed { forget(sidecar) }
        return removed.sorted()
    }

    // === helpers ===

    private func service(_ registration: Registration) -> Service {
        Service(namespace: registration.namespace, name: registration.service)
    }

    private mutating func change(_ sidecar: String, at uptime: Instant, _ edit: (inout Registration) -> Void) -> Registration? {
        guard var entry = entries[sidecar] else { return nil }
        let old = entry.registration
        edit(&entry.registration)
        entry.renewed = uptime
        entries[sidecar] = entry
        return entry.registration == old ? nil : entry.registration
    }

    private mutating func forget(_ sidecar: String) {
        guard let entry = entries.removeValue(forKey: sidecar) else { return }
        let service = service(entry.registration)
        sidecars[service]?.remove(sidecar)
        if sidecars[service]?.isEmpty == true {
            sidecars[service] = nil
            pacing[service] = nil
        }
    }
}
