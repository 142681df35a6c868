internal import Glibc

/// One value handed from one thread to another that waits for it: start-up and tests, never the data path.
package final class Rendezvous<Value: Sendable>: @unchecked Sendable {
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()
    private var value: Value?

    package init() {
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&condition, nil)
    }

    deinit {
        pthread_cond_destroy(&condition)
        pthread_mutex_destroy(&mutex)
    }

    /// Only the first value counts.
    package func fulfil(_ value: Value) {
        pthread_mutex_lock(&mutex)
        if self.value == nil { self.value = value }
        pthread_cond_signal(&condition)
        pthread_mutex_unlock(&mutex)
    }

    package func wait() -> Value {
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        while true {
            if let value { return value }
            pthread_cond_wait(&condition, &mutex)
        }
    }
}
