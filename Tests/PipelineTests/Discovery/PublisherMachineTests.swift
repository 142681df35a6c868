import Pipeline
import Testing

struct PublisherMachineTests {
    private func connected(_ have: [SnapshotPart: String] = [:]) -> PublisherMachine {
        var publisher = PublisherMachine()
        _ = publisher.connected(session: 1, incarnation: "i", have: have)
        return publisher
    }

    @Test("Never two pushes of one part are out: newer versions wait, and the answer releases the newest alone")
    func coalesces() {
        var publisher = connected()
        let first = publisher.publish(.chain, version: "a")
        #expect(first == [.init(part: .chain, version: "a", generation: 1)])
        #expect(publisher.publish(.chain, version: "b").isEmpty)
        #expect(publisher.publish(.chain, version: "c").isEmpty)
        #expect(publisher.status(.chain) == .stale)
        let second = publisher.acked(.chain, version: "a", generation: 1, session: 1)
        #expect(second == [.init(part: .chain, version: "c", generation: 2)])
        #expect(publisher.acked(.chain, version: "c", generation: 2, session: 1).isEmpty)
        #expect(publisher.status(.chain) == .synced)
    }

    @Test("A refused version is not sent again until something else is wanted")
    func refused() {
        var publisher = connected([.chain: "good"])
        _ = publisher.publish(.chain, version: "bad")
        #expect(publisher.nacked(.chain, version: "bad", generation: 1, reason: "no such filter", session: 1).isEmpty)
        #expect(publisher.status(.chain) == .rejected)
        #expect(publisher.reason(.chain) == "no such filter")
        #expect(publisher.running(.chain) == "good")
        #expect(publisher.publish(.chain, version: "bad").isEmpty)
        #expect(publisher.publish(.chain, version: "better").map(\.version) == ["better"])
        #expect(publisher.status(.chain) == .stale)
        #expect(publisher.reason(.chain) == nil)
    }

    @Test("Going back to what runs needs no push")
    func back() {
        var publisher = connected([.chain: "good"])
        _ = publisher.publish(.chain, version: "bad")
        _ = publisher.nacked(.chain, version: "bad", generation: 1, reason: "", session: 1)
        #expect(publisher.publish(.chain, version: "good").isEmpty)
        #expect(publisher.status(.chain) == .synced)
    }

    @Test("A refused chain holds back neither trust nor access")
    func independent() {
        var publisher = connected()
        _ = publisher.publish(.chain, version: "bad")
        _ = publisher.nacked(.chain, version: "bad", generation: 1, reason: "", session: 1)
        #expect(publisher.publish(.trust, version: "t").count == 1)
        #expect(publisher.publish(.access, version: "a").count == 1)
        _ = publisher.acked(.trust, version: "t", generation: 2, session: 1)
        #expect(publisher.status(.trust) == .synced)
        #expect(publisher.status == .rejected, "the worst of all")
    }

    @Test("After a reconnect only what the sidecar lacks is sent, trust first")
    func reconnect() {
        var publisher = PublisherMachine()
        for part in SnapshotPart.allCases { #expect(publisher.publish(part, version: "1").isEmpty) }
        #expect(publisher.status == .notSent)
        let pushes = publisher.connected(session: 1, incarnation: "i", have: [.traffic: "1", .chain: "0"])
        #expect(pushes.map(\.part) == [.trust, .access, .chain])
        #expect(publisher.status(.traffic) == .synced)
        publisher.disconnected()
        #expect(!publisher.isConnected)
        #expect(publisher.connected(session: 2, incarnation: "i", have: [.traffic: "1", .chain: "1", .trust: "1"]).map(\.part) == [.access])
    }

    @Test("A reconnected process is not sent again what it refused; a new process is")
    func incarnation() {
        var publisher = connected()
        _ = publisher.publish(.chain, version: "bad")
        _ = publisher.nacked(.chain, version: "bad", generation: 1, reason: "no such filter", session: 1)
        publisher.disconnected()
        #expect(publisher.connected(session: 2, incarnation: "i", have: [:]).isEmpty)
        #expect(publisher.status(.chain) == .rejected)
        #expect(publisher.connected(session: 3, incarnation: "ii", have: [:]).map(\.version) == ["bad"])
    }

    @Test("Answers of another session, to another push, or twice change nothing")
    func strayAnswers() {
        var publisher = connected()
        _ = publisher.publish(.chain, version: "a")
        #expect(publisher.acked(.chain, version: "a", generation: 1, session: 2).isEmpty)
        #expect(publisher.acked(.chain, version: "a", generation: 2, session: 1).isEmpty)
        #expect(publisher.acked(.chain, version: "b", generation: 1, session: 1).isEmpty)
        #expect(publisher.acked(.trust, version: "a", generation: 1, session: 1).isEmpty)
        #expect(publisher.status(.chain) == .stale)
        _ = publisher.acked(.chain, version: "a", generation: 1, session: 1)
        _ = publisher.nacked(.chain, version: "a", generation: 1, reason: "", session: 1)
        #expect(publisher.status(.chain) == .synced)
    }
}
