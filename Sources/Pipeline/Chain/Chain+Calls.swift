/// The calls of the data path into filters.
///
/// They stand here, as borrowing methods of a type that cannot be copied, because the compiler then knows that the filter
/// tables stay as they are during the call and retains nothing. The same expression through `chain.pointee` costs a
/// retain/release pair per call.
extension Chain {
    @inline(never)
    borrowing func callRequestHead(_ entry: Int, _ scope: Int, _ x: UnsafeMutablePointer<ExchangeStorage>) -> RequestVerdict {
        unsafe requestHead.filters[scope &* requestHead.count &+ entry].onRequestHead(Exchange(x))
    }

    @inline(never)
    borrowing func callRequestBody(
        _ entry: Int, _ scope: Int, _ x: UnsafeMutablePointer<ExchangeStorage>, _ piece: Bytes, isLast: Bool
    ) -> RequestVerdict {
        unsafe requestBody.filters[scope &* requestBody.count &+ entry].onRequestBody(Exchange(x), BodyPiece(piece, isLast: isLast))
    }

    @inline(never)
    borrowing func callResponseHead(_ entry: Int, _ scope: Int, _ x: UnsafeMutablePointer<ExchangeStorage>) -> ResponseVerdict {
        unsafe responseHead.filters[scope &* responseHead.count &+ entry].onResponseHead(Exchange(x))
    }

    @inline(never)
    borrowing func callResponseBody(
        _ entry: Int, _ scope: Int, _ x: UnsafeMutablePointer<ExchangeStorage>, _ piece: Bytes, isLast: Bool
    ) {
        unsafe responseBody.filters[scope &* responseBody.count &+ entry].onResponseBody(Exchange(x), BodyPiece(piece, isLast: isLast))
    }

    @inline(never)
    borrowing func callFailure(
        _ entry: Int, _ scope: Int, _ x: UnsafeMutablePointer<ExchangeStorage>, _ error: ProxyError
    ) -> FailureVerdict {
        unsafe failure.filters[scope &* failure.count &+ entry].onFailure(Exchange(x), error)
    }

    @inline(never)
    borrowing func callOutcome(_ entry: Int, _ scope: Int, _ x: UnsafeMutablePointer<ExchangeStorage>, _ outcome: Outcome) {
        unsafe self.outcome.filters[scope &* self.outcome.count &+ entry].onOutcome(Exchange(x), outcome)
    }

    @inline(never)
    borrowing func callStream(_ entry: Int, _ scope: Int, _ x: UnsafeMutablePointer<ExchangeStorage>) -> StreamVerdict {
        unsafe streams.filters[scope &* streams.count &+ entry].onStream(Exchange(x))
    }

    @inline(never)
    borrowing func callStreamOpen(_ entry: Int, _ scope: Int, _ x: UnsafeMutablePointer<ExchangeStorage>) {
        unsafe streams.filters[scope &* streams.count &+ entry].onStreamOpen(Exchange(x))
    }

    @inline(never)
    borrowing func callStreamOutcome(_ entry: Int, _ scope: Int, _ x: UnsafeMutablePointer<ExchangeStorage>, _ outcome: Outcome) {
        unsafe streams.filters[scope &* streams.count &+ entry].onOutcome(Exchange(x), outcome)
    }

    @inline(never)
    borrowing func resolve(_ x: UnsafeMutablePointer<ExchangeStorage>) -> Destination {
        unsafe router.resolve(Exchange(x))
    }
}
