"""Move money between accounts in an SQLite file with SQLAlchemy, from many threads.

Prints what the accounts have in the end, which does not depend on the order of the moves.
"""

import concurrent.futures
import hashlib
import pathlib
import random
import tempfile
import threading

from sqlalchemy import ForeignKey, create_engine, event, func, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    mapped_column,
    relationship,
    scoped_session,
    sessionmaker,
)
from sqlalchemy.pool import QueuePool

ACCOUNTS = 20
THREADS = 12
CONNECTIONS = 5  # fewer than threads: they wait for one another
MOVES = 30  # of each thread
PATIENCE = 120  # seconds: who waits so long waits in vain


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]


class Move(Base):
    __tablename__ = "move"
    id: Mapped[int] = mapped_column(primary_key=True)
    thread: Mapped[int]
    turn: Mapped[int]
    amount: Mapped[int]
    source_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    target_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    source: Mapped[Account] = relationship(foreign_keys=source_id)
    target: Mapped[Account] = relationship(foreign_keys=target_id)


class Refused(Exception):
    """A move that is taken back."""


def open_database(path):
    """Return an engine for the file whose transactions are SQLite's, from the first read on."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=CONNECTIONS - 2,
        max_overflow=2,
        pool_timeout=PATIENCE,
        connect_args={"timeout": PATIENCE, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def connected(connection, record):
        connection.isolation_level = None  # sqlite3 begins no transactions by itself
        connection.execute("PRAGMA synchronous=OFF")

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def move_money(sessions, number):
    """Do the moves of one thread; return how many were taken back."""
    chance = random.Random(number)
    taken_back = 0
    for turn in range(MOVES):
        source, target = chance.sample(range(1, ACCOUNTS + 1), 2)
        amount = chance.randrange(1, 100)
        session = sessions()
        assert session is sessions()  # one for each thread
        try:
            with session.begin():
                move = Move(thread=number, turn=turn, amount=amount)
                move.source = session.get(Account, source)
                move.target = session.get(Account, target)
                move.source.balance -= amount
                session.add(move)
                session.flush()
                if amount % 10 == 0:
                    raise Refused
                move.target.balance += amount
        except Refused:
            taken_back += 1
        finally:
            sessions.remove()
    return taken_back


def main():
    start = threading.Barrier(THREADS)

    def work(number):
        start.wait(PATIENCE)
        return move_money(sessions, number)

    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(pathlib.Path(folder, "bank.db"))
        sessions = scoped_session(sessionmaker(engine))
        Base.metadata.create_all(engine)
        with sessions() as session, session.begin():
            session.add_all(Account(id=n + 1, balance=1000) for n in range(ACCOUNTS))
        sessions.remove()

        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            taken_back = sum(pool.map(work, range(THREADS)))

        with sessions() as session, session.begin():
            total = session.scalar(select(func.sum(Account.balance)))
            balances = session.scalars(select(Account.balance).order_by(Account.id)).all()
            columns = (Move.thread, Move.turn, Move.amount, Move.source_id, Move.target_id)
            moves = session.execute(select(*columns).order_by(Move.thread, Move.turn)).all()
        sessions.remove()
        checked_out = engine.pool.checkedout()
        engine.dispose()

    text = repr([tuple(move) for move in moves])
    print("moves:", len(moves))
    print("taken back:", taken_back)
    print("sha256:", hashlib.sha256(text.encode()).hexdigest())
    print("balances:", *balances)
    print("total:", total)
    print("connections left in use:", checked_out)


if __name__ == "__main__":
    main()
