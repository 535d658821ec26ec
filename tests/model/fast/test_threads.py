"""The number of threads follows the cores that are free, on a machine that is made up."""

from dataclasses import dataclass

from model.fast.threads import FreeThreads, Threads


@dataclass
class Machine:
    """Cores, some of them busy with others' work; its clock goes on by the steps that are done."""

    cores: int = 4
    busy: int = 0
    threads: int = 0
    now: float = 0.0
    used: float = 0.0
    is_new: bool = False

    def choose(self, number: int) -> None:
        self.threads, self.is_new = number, True

    def step_seconds(self, number: int) -> float:
        """0.4 s of one thread's work; threads that share a core make all wait for them."""
        return 0.4 / number * (5 if number + self.busy > self.cores else 1)

    def step(self) -> None:
        """As long as it takes, and three times that where the number of threads is new."""
        shared = max(0, self.threads + self.busy - self.cores)
        taken = self.step_seconds(self.threads) * (3 if self.is_new else 1)
        self.is_new = False
        self.now += taken
        self.used += taken * (self.threads - shared / 2)

    def free(self, asked: Threads) -> FreeThreads:
        return FreeThreads(asked, lambda: self.now, lambda: self.used, self.choose)

    def train(self, free: FreeThreads, seconds: float) -> int:
        """Steps that are done in this time."""
        end, steps = self.now + seconds, 0
        while self.now < end:
            self.step()
            free.step_done()
            steps += 1
        return steps


def steps_of(busy: int, number: int, seconds: float) -> float:
    return seconds / Machine(busy=busy).step_seconds(number)


def test_alone_it_never_tries_another_number() -> None:
    machine = Machine()
    free = machine.free(Threads(most=4))
    machine.train(free, 300)
    assert (free.number, free.fewest, machine.threads) == (4, 4, 4)


def test_beside_busy_cores_it_comes_near_the_best_number() -> None:
    for busy, best in ((1, 3), (2, 2), (3, 1)):
        machine = Machine(busy=busy)
        free = machine.free(Threads(most=4))
        done = machine.train(free, 300)
        assert free.number == machine.threads == best
        assert done > 0.9 * steps_of(busy, best, 300)


def test_cores_that_are_given_back_are_used_again_within_a_minute_or_so() -> None:
    machine = Machine(busy=3)
    free = machine.free(Threads(most=4))
    machine.train(free, 300)
    machine.busy = 0
    machine.train(free, 130)
    assert (free.number, free.fewest, free.highest) == (4, 1, 4)


def test_a_number_that_is_fixed_stays() -> None:
    machine = Machine(busy=3)
    free = machine.free(Threads(most=4, fixed=3))
    machine.train(free, 100)
    assert (free.number, free.fewest, machine.threads) == (3, 3, 3)


def test_short_epochs_are_measured_together() -> None:
    machine = Machine(busy=3)
    free = machine.free(Threads(most=4))
    for _ in range(100):
        free.begin()
        machine.train(free, 0.4)
        machine.now += 3.0
    assert free.number == 1


def test_what_is_done_between_epochs_is_no_slow_step() -> None:
    machine = Machine()
    free = machine.free(Threads(most=4))
    for _ in range(50):
        machine.train(free, 1)
        machine.now += 5.0  # a validation on one thread
        machine.used += 5.0
        free.begin()
    assert free.fewest == 4


def test_one_crowded_moment_changes_nothing() -> None:
    machine = Machine()
    free = machine.free(Threads(most=4))
    for _ in range(20):
        machine.train(free, 3)
        machine.now += 0.4  # the threads were held up for so long
    assert free.fewest == 4


def test_fewer_threads_that_are_slower_are_given_up_at_once() -> None:
    """The threads sleep while they wait, which looks like shared cores and is none."""
    machine = Machine()
    free = machine.free(Threads(most=4))
    end, slow, steps = 600.0, 0, 0
    while machine.now < end:
        number = machine.threads
        used = machine.used
        machine.step()
        machine.used = (used + machine.used) / 2
        free.step_done()
        steps += 1
        slow += number < 4
    assert free.number == 4
    assert 0 < slow < 0.05 * steps


def test_an_earlier_part_of_the_training_counts_and_its_end_restores_the_number() -> None:
    machine = Machine(busy=3)
    free = machine.free(Threads(most=4))
    free.remember(2, 6)
    assert (free.fewest, free.highest) == (2, 6)
    machine.train(free, 60)
    assert (free.fewest, free.highest, machine.threads) == (1, 6, 1)
    free.end()
    assert machine.threads == 4
