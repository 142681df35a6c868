import Pipeline
import Testing
import WeftTesting

@Suite("timeout")
struct TimeoutTests {
    @Test("A service that does not answer in time is given up with 504 UT, at the deadline")
    func expires() throws {
        let harness = try ChainHarness(#"[{"filter": "timeout", "config": {"after": "2s"}}]"#)
        harness.upstream = { _, _ in .hang }
        let answer = harness.send(.get("/"))
        #expect(answer.status == 504)
        #expect(answer.flag == .UT)
        #expect(answer.elapsed == .seconds(2))
        #expect(answer.isLocal)
        #expect(harness.stat("weft_timeout_expired_total") == 1)
    }

    @Test("It is 15 s if nothing is said, and 0s is no limit")
    func defaults() throws {
        let usual = try ChainHarness(#"["timeout"]"#)
        usual.upstream = { _, _ in .hang }
        #expect(usual.send(.get("/")).elapsed == .seconds(15))
        let off = try ChainHarness(#"[{"filter":"timeout","config":{"after":"0s"}}]"#)
        off.upstream = { _, _ in .hang }
        #expect(!off.send(.get("/")).isFinished)
    }

    @Test("covers: response cuts an answer that goes on too long; response-head lets it go on")
    func covers() throws {
        let whole = try ChainHarness(#"[{"filter":"timeout","config":{"after":"1s"}}]"#)
        whole.upstream = { _, _ in .slowBody(200, after: .seconds(5)) }
        let cut = whole.send(.get("/"))
        #expect(cut.isCut)
        #expect(cut.elapsed == .seconds(1))
        #expect(cut.flag == .UT)
        #expect(whole.stat("weft_timeout_expired_total") == 1)
        let head = try ChainHarness(#"[{"filter":"timeout","config":{"after":"1s","covers":"response-head"}}]"#)
        head.upstream = { _, _ in .slowBody(200, after: .seconds(5)) }
        let stream = head.send(.get("/"))
        #expect(!stream.isCut)
        #expect(stream.body == "slow")
        #expect(stream.elapsed == .seconds(5))
        head.upstream = { _, _ in .answer(200, after: .seconds(5)) }
        #expect(head.send(.get("/")).status == 504)
    }

    @Test("An answer on time is no expiration")
    func onTime() throws {
        let harness = try ChainHarness(#"[{"filter":"timeout","config":{"after":"1s"}}]"#)
        harness.upstream = { _, _ in .answer(200, after: .milliseconds(999)) }
        #expect(harness.send(.get("/")).status == 200)
        harness.advance(by: .seconds(5))
        #expect(harness.stat("weft_timeout_expired_total") == 0)
    }
}
