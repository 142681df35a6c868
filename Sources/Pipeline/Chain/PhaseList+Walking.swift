/// The walks of the data path through the filters of one phase.
///
/// They are borrowing methods of a type that cannot be copied, because the compiler then knows that the filter tables stay as
/// they are during the walk: nothing is retained, and of the chain only this phase's three words are read. The same
/// expressions through `chain.pointee` cost a retain/release pair per call; methods of the whole chain cost a copy of it.
extension PhaseList {
    /// Makes the entry's stage the current one. Answers where its filter stands under the settings its pass was entered with.
    @inline(__always)
    borrowing func turn(to entry: Int, _ x: UnsafeMutablePointer<ExchangeStorage>) -> Int {
        let stage = stages[entry]
        unsafe x.pointee.stage = stage
        return unsafe Int(x.pointee.scopes[Int(stage)]) &* stages.count &+ entry
    }

    /// The last entry above `stage`; -1 if there is none.
    @inline(__always)
    borrowing func last(below stage: Int) -> Int { Int(start[stage]) &- 1 }
}

extension PhaseList where F == any RequestHeadFilter {
    /// Enters the stages from `stage` on and asks their filters, downwards; the first answer that is not to go on, and whose.
    @inline(never)
    borrowing func descend(_ run: ChainRun, from stage: Int) -> (stage: Int, verdict: RequestVerdict)? {
        let x = unsafe run.x
        var entry = Int(start[stage])
        while entry < stages.count {
            let stage = Int(stages[entry])
            run.enter(through: stage)
            let verdict = unsafe filters[turn(to: entry, x)].onRequestHead(Exchange(x))
            if unsafe x.pointee.editFailed { return (stage, RequestVerdict(kind: .fail, error: ProxyError(.editsTooLarge))) }
            if verdict.kind != .next { return (stage, verdict) }
            entry &+= 1
        }
        return nil
    }
}

extension PhaseList where F == any RequestBodyFilter {
    /// Shows a piece to the stages from `stage` on, downwards; the first answer that is not to go on, and whose.
    @inline(never)
    borrowing func descend(
        _ x: UnsafeMutablePointer<ExchangeStorage>, _ piece: Bytes, isLast: Bool, from stage: Int
    ) -> (stage: Int, verdict: RequestVerdict)? {
        var entry = Int(start[stage])
        while entry < stages.count {
            let verdict = unsafe filters[turn(to: entry, x)].onRequestBody(Exchange(x), BodyPiece(piece, isLast: isLast))
            if verdict.kind != .next { return (Int(stages[entry]), verdict) }
            entry &+= 1
        }
        return nil
    }
}

extension PhaseList where F == any ResponseHeadFilter {
    /// Asks the stages above `stage`, upwards; the first answer that is not to go on, and whose. Where a retry is no longer
    /// possible, asking for one is to go on.
    @inline(never)
    borrowing func climb(_ x: UnsafeMutablePointer<ExchangeStorage>, below stage: Int) -> (stage: Int, verdict: ResponseVerdict)? {
        var entry = last(below: stage)
        while entry >= 0 {
            let verdict = unsafe filters[turn(to: entry, x)].onResponseHead(Exchange(x))
            if unsafe verdict.kind == .reply || verdict.kind == .retry && x.canRetry { return (Int(stages[entry]), verdict) }
            entry &-= 1
        }
        return nil
    }
}

extension PhaseList where F == any ResponseBodyFilter {
    /// Shows a piece to the stages above `stage`, upwards.
    @inline(never)
    borrowing func climb(_ x: UnsafeMutablePointer<ExchangeStorage>, _ piece: Bytes, isLast: Bool, below stage: Int) {
        var entry = last(below: stage)
        while entry >= 0 {
            unsafe filters[turn(to: entry, x)].onResponseBody(Exchange(x), BodyPiece(piece, isLast: isLast))
            entry &-= 1
        }
    }
}

extension PhaseList where F == any FailureFilter {
    /// Asks the stages above `stage`, upwards; the first answer that is not to pass it on, and whose. A retry as above.
    @inline(never)
    borrowing func climb(
        _ x: UnsafeMutablePointer<ExchangeStorage>, _ error: ProxyError, below stage: Int
    ) -> (stage: Int, verdict: FailureVerdict)? {
        var entry = last(below: stage)
        while entry >= 0 {
            let verdict = unsafe filters[turn(to: entry, x)].onFailure(Exchange(x), error)
            if unsafe verdict.kind == .reply || verdict.kind == .retry && x.canRetry { return (Int(stages[entry]), verdict) }
            entry &-= 1
        }
        return nil
    }
}

extension PhaseList where F == any OutcomeFilter {
    /// Tells the stages from `stage` on whose passes are open how these ended, the lowest first.
    @inline(never)
    borrowing func climb(_ x: UnsafeMutablePointer<ExchangeStorage>, _ outcome: Outcome, downTo stage: Int) {
        var entry = unsafe last(below: Int(x.pointee.reached))
        while entry >= 0, Int(stages[entry]) >= stage {
            unsafe filters[turn(to: entry, x)].onOutcome(Exchange(x), outcome)
            entry &-= 1
        }
    }
}

extension PhaseList where F == any StreamFilter {
    /// Enters the stages from an entry on and asks their filters, downwards; the first refusal.
    @inline(never)
    borrowing func descend(_ run: ChainRun, fromEntry first: Int) -> (error: ProxyError, reason: Reason)? {
        let x = unsafe run.x
        var entry = first
        while entry < stages.count {
            run.enter(through: Int(stages[entry]))
            if case .refuse(let error, let reason) = unsafe filters[turn(to: entry, x)].onStream(Exchange(x)) { return (error, reason) }
            entry &+= 1
        }
        return nil
    }

    /// Tells all stages, upwards, that the endpoint is connected.
    @inline(never)
    borrowing func climb(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        var entry = stages.count &- 1
        while entry >= 0 {
            unsafe filters[turn(to: entry, x)].onStreamOpen(Exchange(x))
            entry &-= 1
        }
    }

    /// Tells the stages from `stage` on whose passes are open how these ended, the lowest first.
    @inline(never)
    borrowing func climb(_ x: UnsafeMutablePointer<ExchangeStorage>, _ outcome: Outcome, downTo stage: Int) {
        var entry = unsafe last(below: Int(x.pointee.reached))
        while entry >= 0, Int(stages[entry]) >= stage {
            unsafe filters[turn(to: entry, x)].onOutcome(Exchange(x), outcome)
            entry &-= 1
        }
    }
}
