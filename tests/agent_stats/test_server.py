from tests.support.postgres import Postgres


def test_postgres_data_survives_restart(postgres: Postgres) -> None:
    database = postgres.new_database()
    postgres.sql("CREATE TABLE kept AS SELECT 42 AS answer", database=database)

    postgres.restart()

    assert postgres.sql("SELECT answer FROM kept", database=database) == "42"
