import Pipeline
import Testing
import WeftTesting

@Suite("The runner's phases and verdicts")
struct VerdictTests {
    private func harness(_ stages: String) throws -> ChainHarness { try ChainHarness(stages, adding: [Probe.self]) }

    @Test("A request goes down the list and its response comes back up, each stage seeing the edits of those before")
    func order() throws {
        let harness = try harness(#"[{"filter":"probe","name":"a","config":{"edit":"a"}},{"filter":"probe","name":"b","config":{"edit":"b"}}]"#)
        let answer = harness.send(.get("/"))
        #expect(answer.status == 200)
        #expect(answer.forwarded[0].headers == ["x-edit: a", "x-edit: b"])
        #expect(answer.headers == ["x-edit: b", "x-edit: a"])
        for stage in ["a", "b"] {
            #expect(harness.stat("weft_probe_responses_total", stage: stage) == 1)
            #expect(harness.stat("weft_probe_response_bodies_total", stage: stage) == 1)
            #expect(harness.stat("weft_probe_completed_total", stage: stage) == 1)
        }
    }

    @Test("A reply climbs through the response phases of the stages above, and those below never have a pass")
    func replyClimbs() throws {
        let harness = try harness(#"["#
            + #"{"filter":"probe","name":"a","config":{"edit":"a"}},{"filter":"probe","name":"b","config":{"head":"reply"}},{"filter":"probe","name":"c"}]"#)
        let answer = harness.send(.get("/"))
        #expect(answer.status == 418)
        #expect(answer.body == "teapot\n")
        #expect(answer.reason == "the probe says so")
        #expect(answer.headers == ["x-edit: a"])
        #expect(!answer.reachedUpstream)
        #expect(harness.stat("weft_probe_responses_total", stage: "a") == 1)
        #expect(harness.stat("weft_probe_responses_total", stage: "b") == 0, "a stage does not see its own reply")
        #expect(harness.stat("weft_probe_replied_total", stage: "b") == 1)
        #expect(harness.stat("weft_probe_heads_total", stage: "c") == 0)
    }

    @Test("A failure climbs through the failure phases above; at the top one table makes it a reply")
    func failureClimbs() throws {
        let harness = try harness(#"[{"filter":"probe","name":"a"},{"filter":"probe","name":"b","config":{"head":"fail"}}]"#)
        let answer = harness.send(.get("/"))
        #expect(answer.status == 500)
        #expect(answer.flag == .LR)
        #expect(answer.reason == "the probe fails")
        #expect(harness.stat("weft_probe_failures_total", stage: "a") == 1)
        #expect(harness.stat("weft_probe_failures_total", stage: "b") == 0)
    }

    @Test("A stage may answer in place of a failure, and in place of a response")
    func replacing() throws {
        let failing = try harness(#"[{"filter":"probe","name":"a","config":{"failure":"reply"}}]"#)
        failing.upstream = { _, _ in .refuse }
        #expect(failing.send(.get("/")).status == 599)
        let replacing = try harness(#"[{"filter":"probe","name":"a","config":{"response":"reply"}},{"filter":"probe","name":"b"}]"#)
        let answer = replacing.send(.get("/"))
        #expect(answer.status == 299)
        #expect(answer.body == "replaced\n")
        #expect(replacing.stat("weft_probe_superseded_total", stage: "b") == 1)
        #expect(replacing.stat("weft_probe_replied_total", stage: "a") == 1)
    }

    @Test("A retry enters at the first stage below the asker, and the edits made below it are taken back")
    func retryRollsBack() throws {
        let harness = try harness(#"["#
            + #"{"filter":"probe","name":"a","config":{"edit":"a"}},{"filter":"probe","name":"r","config":{"failure":"retry","retries":2,"edit":"r"}},{"filter":"probe","name":"b","config":{"edit":"b"}}]"#)
        harness.upstream = { _, number in number < 2 ? .refuse : .ok }
        let answer = harness.send(.get("/"))
        #expect(answer.status == 200)
        #expect(answer.attempts == 3)
        for forwarded in answer.forwarded { #expect(forwarded.headers == ["x-edit: a", "x-edit: r", "x-edit: b"]) }
        #expect(harness.stat("weft_probe_heads_total", stage: "a") == 1)
        #expect(harness.stat("weft_probe_heads_total", stage: "b") == 3)
        #expect(harness.stat("weft_probe_superseded_total", stage: "b") == 2)
        #expect(harness.stat("weft_probe_completed_total", stage: "b") == 1)
        #expect(harness.stat("weft_probe_broken_total") == 0)
    }

    @Test("The edits that a dropped response got do not show in the next")
    func responseEditsRollBack() throws {
        let harness = try harness(#"["#
            + #"{"filter":"probe","name":"r","config":{"response":"retry","retries":1}},{"filter":"probe","name":"b","config":{"edit":"b"}}]"#)
        let answer = harness.send(.get("/"))
        #expect(answer.attempts == 2)
        #expect(answer.headers == ["x-edit: b"])
    }

    @Test("A retry waits for its back-off in virtual time")
    func backOff() throws {
        let harness = try harness(#"[{"filter":"probe","name":"r","config":{"failure":"retry","delay":"40ms"}}]"#)
        harness.upstream = { _, number in number == 0 ? .refuse : .ok }
        let answer = harness.send(.get("/"))
        #expect(answer.attempts == 2)
        #expect(answer.forwarded[1].at - answer.forwarded[0].at == .milliseconds(40))
    }

    @Test("A kept body is sent again in full")
    func replay() throws {
        let harness = try harness(#"[{"filter":"probe","name":"r","config":{"failure":"retry","keepBody":"64B"}}]"#)
        harness.upstream = { _, number in number == 0 ? .resetBeforeHead : .ok }
        var request = HarnessRequest.post("/")
        request.body = ["one ", "two ", "three"]
        let answer = harness.send(request)
        #expect(answer.status == 200)
        #expect(answer.forwarded.map(\.body) == ["one two three", "one two three"])
    }

    @Test("A body over the limit is gone once it is forwarded: the retry counts as passing it on")
    func bodyGone() throws {
        let harness = try harness(#"[{"filter":"probe","name":"r","config":{"failure":"retry","keepBody":"8B"}}]"#)
        harness.upstream = { _, number in number == 0 ? .resetBeforeHead : .ok }
        let answer = harness.send(.post("/", "nine bytes"))
        #expect(answer.status == 503)
        #expect(answer.flag == .UC)
        #expect(answer.attempts == 1)
    }

    @Test("A body that nobody kept is not retried once a byte of it went out")
    func bodyNotKept() throws {
        let harness = try harness(#"[{"filter":"probe","name":"r","config":{"failure":"retry"}}]"#)
        harness.upstream = { _, _ in .resetBeforeHead }
        #expect(harness.send(.post("/")).attempts == 1)
        #expect(harness.send(.get("/")).attempts == 2)
    }

    @Test("A response that breaks after its head is cut, never answered twice")
    func cut() throws {
        let harness = try harness(#"[{"filter":"probe","name":"r","config":{"failure":"retry"}}]"#)
        harness.upstream = { _, _ in .resetWithinBody(200) }
        let answer = harness.send(.get("/"))
        #expect(answer.isCut)
        #expect(answer.status == 200)
        #expect(answer.body == "ha")
        #expect(answer.attempts == 1)
        #expect(harness.stat("weft_probe_failed_total") == 1)
    }

    @Test("A refusal within the body gives the attempt up and answers")
    func bodyRefused() throws {
        let harness = try harness(#"[{"filter":"probe","name":"a","config":{"body":"reply"}},{"filter":"probe","name":"b"}]"#)
        harness.upstream = { _, _ in .hang }
        let answer = harness.send(.post("/"))
        #expect(answer.status == 418)
        #expect(answer.forwarded[0].body == "")
        #expect(harness.stat("weft_probe_cancelled_total", stage: "b") == 1)
        #expect(harness.stat("weft_probe_replied_total", stage: "a") == 1)
    }

    @Test("Edits that outgrow the arena are answered 500")
    func editsTooLarge() throws {
        let long = String(repeating: "x", count: 1000)
        let harness = try harness(#"[{"filter":"probe","name":"a","config":{"edit":"\#(long)","edits":80}}]"#)
        let answer = harness.send(.get("/"))
        #expect(answer.status == 500)
        #expect(answer.flag == .LR)
        #expect(!answer.reachedUpstream)
    }

    @Test("A value with a line break in it is no edit: it could begin another header")
    func noInjection() throws {
        let harness = try harness(#"[{"filter":"probe","name":"a","config":{"edit":"a\r\nx-evil: 1"}}]"#)
        #expect(harness.send(.get("/")).status == 500)
    }

    @Test("A chain without a filter that exists, or whose config is wrong, is refused with every reason")
    func refusals() throws {
        #expect(throws: ChainHarness.Refused.self) { try ChainHarness(#"["no-such-filter"]"#) }
        do {
            _ = try harness(#"[{"filter":"probe","config":{"retries":"x"}},{"filter":"timeout","config":{"after":5}}]"#)
            Issue.record("the chain was built")
        } catch let refused as ChainHarness.Refused {
            #expect(refused.problems.count == 2)
        }
    }
}
