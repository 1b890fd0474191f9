"""What user SQL may say, and what becomes of it."""

import pytest

from watchkeeper.store.columns import QueryRefused
from watchkeeper.store.sandbox import compile_condition, number_look_ups, prepare, trace_look_ups
from watchkeeper.store.sandbox_tables import COLUMNS, scorer_column

SCORERS = ["answer_relevance", "grounded.v2", "cost"]

USEFUL = [
    "select * from traces where scenario = 'support' and answer_relevance < 5 and time > now() - interval 24 hour "
    "order by time desc limit 50",
    "select toStartOfHour(time) as h, request_model, quantile(0.95)(duration_ms) from spans group by h, request_model",
    "select count(), countIf(status = 'error'), avgIf(cost, cost > 0) from spans",
    "select attributes['http.route'] as r, uniq(trace_id) from spans group by r having uniq(trace_id) > 3",
    "with bad as (select trace_id from scores where scorer = 'toxic' and passed = false) "
    "select t.time, t.input_text from traces t join bad using (trace_id)",
    "select scorer, count(), avg(value) from scores group by scorer order by 2 desc",
    "select metric, time, mean, low, high from series where cohort = '' order by time",
    "select name, version, time from deploys order by time desc",
    "select m, count() from traces array join models as m group by m",
    "select has(failed_checks, 'valid_json'), arrayMap(x -> upper(x), models) from traces",
    "select row_number() over (partition by scenario order by cost desc) as n, trace_id from traces",
    "select if(cost is null, 'unknown', 'known') as k, count() from traces group by k",
    "select case when errors > 0 then 'bad' else 'good' end, count() from traces group by all",
    "select trace_id from traces where trace_id in (select trace_id from scores where value < 2) limit 5 offset 10",
    "select * except (input_text, output_text) from traces",
    "select dateAdd(day, 1, time), dateDiff('minute', time, now()), toDate(time) from traces",
    "select 1 union all select 2",
    "select cast(duration_ms as UInt64), duration_ms::String from spans",
    "select JSONExtractString(output_text, 'answer') from spans where isValidJSON(output_text)",
    "select kind from spans limit 2 by kind",
    "select sum(cost) from traces final",
    "select t.*, s.value from traces t left join scores s on t.trace_id = s.trace_id",
    "select monitor, state, severity from alerts where state in ('firing', 'no_data')",
    "select scorer, sum(eligible), sum(scored) from coverage group by scorer",
    "from spans select name",
    "select name from spans where name = '\\' union all select * from system.tables -- '",
    "/* a comment */ select 1 -- and another",
]


@pytest.mark.parametrize("query", USEFUL)
def test_it_accepts_what_analysts_write(query: str) -> None:
    prepared = prepare(query, SCORERS)
    assert prepared.sql.count("{wk_project: String}") >= len(prepared.tables)


def test_every_table_is_bound_to_the_project() -> None:
    sql = prepare("select a.name from spans a, spans b where a.trace_id = b.trace_id", SCORERS).sql
    assert sql.count('"project" = {wk_project: String}') == 2


def test_a_scorer_is_a_column_and_a_missing_score_is_null() -> None:
    sql = prepare("select answer_relevance from traces", SCORERS).sql
    assert """arrayElementOrNull("scores"."values", indexOf("scores"."keys", 'answer_relevance'))""" in sql
    assert "grounded" not in sql


def test_the_names_other_systems_give_their_scores_are_columns() -> None:
    for name in ("Correctness [GEval]", "Größe", "a'b/c", "100% right?", "(a), b;--"):
        sql = prepare(f"select avg(`{name}`) from traces where `{name}` < 1", [name]).sql
        text = name.replace("'", "''")
        assert f'indexOf("scores"."keys", \'{text}\')) AS "{name}"' in sql


@pytest.mark.parametrize("name", ['a""b', "a\\\\b", "a{wk_project:String}", "a\nb", "b\n"])
def test_a_name_that_could_end_its_quotes_is_none(name: str) -> None:
    with pytest.raises(QueryRefused):
        prepare(f'select "{name}" from traces', [name.replace('""', '"')])


def test_a_star_shows_every_scorer() -> None:
    sql = prepare("select * from traces", SCORERS).sql
    assert '"answer_relevance"' in sql and '"grounded.v2"' in sql


def test_a_scorer_named_like_a_column_gets_a_name_of_its_own() -> None:
    assert '"score_cost"' in prepare("select cost, score_cost from traces", SCORERS).sql


def test_no_names_of_scorers_make_two_columns_of_one_name_or_hide_what_the_query_reads() -> None:
    # An alias stands before the column it is called like: one of these would break or unbind every other.
    taken = [*COLUMNS["traces"], "scores", "project", "attributes"]
    columns = [scorer_column(s) for s in [*taken, "score_project", "score_score_project", "score_x", "x"]]
    assert len({*taken, *columns}) == len(taken) + len(columns)
    assert columns[-2:] == ["score_x", "x"]


def test_comments_are_not_passed_on() -> None:
    assert "secret" not in prepare("select 1 /* secret */ -- secret", SCORERS).sql


@pytest.mark.parametrize(
    ("query", "limit"),
    [("select 1", 10001), ("select 1 limit 7", 7), ("select 1 limit 999999", 10001)],
)
def test_an_answer_has_at_most_the_allowed_rows(query: str, limit: int) -> None:
    assert prepare(query, []).sql.endswith(f"LIMIT {limit}")


def test_a_limit_of_a_union_holds_for_all_of_it() -> None:
    assert prepare("select 1 union all select 2 limit 1", []).sql.endswith('AS "answer" LIMIT 10001')


def test_a_name_out_of_scope_does_not_reach_a_physical_table() -> None:
    sql = prepare(
        "select * from (with content as (select 1 as a) select a from content) as x, content", []
    ).sql
    assert '"wkq_content"' in sql and '"content"' not in sql.replace('AS "content"', "")


@pytest.mark.parametrize(
    ("query", "says", "hints"),
    [
        ("select * from trace", "no table trace", "traces"),
        ("select quantil(0.5)(cost) from traces", "quantil", "quantile"),
        ("select * from spans settings max_threads = 1", "SETTINGS", "SELECT takes"),
        ("drop table spans", "DROP", "SELECT"),
        ("select 1; select 2", "more than one", "one SELECT"),
        ("", "empty", "one SELECT"),
        ("select * from spans limit cost", "LIMIT", "LIMIT 100"),
        ("with spans as (select 1) select * from spans", "taken", "another name"),
    ],
)
def test_a_refusal_names_the_construct_and_what_is_allowed(query: str, says: str, hints: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        prepare(query, SCORERS)
    assert says in str(refused.value)
    assert hints in refused.value.hint


CONDITIONS = [
    ("scenario = 'support' and answer_relevance < 5", 'indexOf("scores"."keys", \'answer_relevance\''),
    ("errors > 0 or not complete", '"errors" > 0'),
    ("attributes['http.route'] = '/chat'", '"trace_id" IN (SELECT "trace_id" FROM "default"."spans"'),
    ("attributes['http.route'] = '/chat'", "'http.route\\n/chat')"),
    ("not ('b''c' = attributes['a'])", "'a\\nb''c')"),
    (f"attributes['n'] = '{'x' * 63}'", 'has("attributes"."keys", \'n\')'),
    ("attributes['n'] != '5'", 'has("attributes"."keys", \'n\')'),
    ("attributes['n'] > 5 and cost > 1", 'has("attributes"."keys", \'n\')'),
    ("mapContains(attributes, 'n')", 'has("attributes"."keys", \'n\')'),
    ("has(models, 'gpt-4o')", "has("),
    ("input_text ilike '%refund%'", "ILIKE"),
    ("time > now() - interval 1 day", "INTERVAL"),
]


@pytest.mark.parametrize(("where", "part"), CONDITIONS)
def test_a_condition_is_compiled_for_the_physical_table(where: str, part: str) -> None:
    assert part in compile_condition(where, SCORERS)


@pytest.mark.parametrize(
    "where",
    [
        "foo = 1", "trace_id in (select trace_id from spans)", "1 = 1 limit 5", "1 = 1 settings max_threads = 1",
        "exists(select 1)", "project = 'other'", "spans.name = 'x'", "attributes['a'] = root_name", "1 = 1) --",
        "sleep(3) = 0", "count() over () > 1", "1 = 1; drop table spans", "input_text = file('x')", "",
        "trace_id in content", "1 = 1 union all select 1", "1=1) union all select (1",
    ],
)  # fmt: skip
def test_a_condition_that_is_more_than_a_condition_is_refused(where: str) -> None:
    with pytest.raises(QueryRefused):
        compile_condition(where, SCORERS)


@pytest.mark.parametrize(
    ("where", "read"),
    [
        ("attributes['n'] > 5", ["token >= 'n\\n' AND token < 'n\\v'", "<= 24", "> 5"]),
        (
            "cost > 1 and (-2 <= attributes['it''s'] or errors > 0)",
            ["token >= 'it''s\\n'", "-2 <= toFloat64OrNull("],
        ),
        ("attributes['n'] > '5'", None),
        ("attributes['n'] = attributes['m']", None),
        ("length(attributes['n']) > 5", None),
        (f"attributes['{'n' * 40}'] > 5", None),
    ],
)
def test_a_comparison_with_a_number_is_looked_up_where_the_index_has_all_of_them(
    where: str, read: list[str] | None
) -> None:
    found = number_look_ups(where)
    assert len(found) == (read is not None)
    for name, statement in found.items():
        assert all(part in statement for part in read or ())
        compiled = compile_condition(where, SCORERS, held=found)
        assert f"{{{name}: Array(String)}}" in compiled
        assert "toFloat64OrNull(" not in compiled


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("attributes['a'] = 'x'", ["wk_traces0"]),
        ("cost > 1 and (attributes['n'] > 5 and attributes['a'] = 'x')", ["wk_traces0", "wk_traces1"]),
        ("attributes['a'] = 'x' or cost > 1", []),
        ("not attributes['a'] = 'x'", []),
        ("attributes['a'] != 'x'", []),
        (f"attributes['a'] = '{'x' * 64}'", []),
    ],
)
def test_traces_are_looked_up_that_a_condition_needs_and_the_index_knows(
    where: str, names: list[str]
) -> None:
    facts = number_look_ups(where)
    found = trace_look_ups(where, held=facts)
    assert sorted(found) == names
    assert all(statement.startswith('SELECT DISTINCT "trace_id"') for statement in found.values())
    compiled = compile_condition(where, SCORERS, held={**facts, **found})
    assert all(f'"trace_id" IN {{{name}: Array(String)}}' in compiled for name in names)
    assert ("SELECT" in compiled) == (not names)
    # A number nobody looked up is compared span by span.
    unknown = [name for name in names if f"wk_facts{name[-1]}" not in facts]
    assert sorted(trace_look_ups(where)) == unknown


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("time > '2026-01-01T00:00:00Z'", "> '2026-01-01 00:00:00'"),
        ("'2026-01-01T00:00' <= time", "'2026-01-01 00:00:00' <="),
        ("time between '2026-01-01T00:00:00.123456789+02:00' and now()", "'2025-12-31 22:00:00.123456789'"),
        ("time in ('2026-01-01T00:00:00z')", "('2026-01-01 00:00:00')"),
    ],
)
def test_it_reads_times_as_answers_write_them(written: str, read: str) -> None:
    assert read in prepare(f"select trace_id from traces where {written}", SCORERS).sql
    assert (
        read
        in prepare(f"select t.trace_id from traces t where {written.replace('time', 't.time')}", SCORERS).sql
    )
    assert read in compile_condition(written, SCORERS)


def test_it_leaves_texts_alone_that_only_look_like_times() -> None:
    text = "'2026-01-01T00:00:00Z'"
    assert text in prepare(f"select {text} from spans where attributes['at'] = {text}", SCORERS).sql
    with pytest.raises(QueryRefused, match="is not a time"):
        prepare("select 1 from traces where time > '2026-13-01T00:00:00Z'", SCORERS)


def test_texts_are_cut_by_characters_and_columns_are_headed_as_written() -> None:
    made = prepare(
        "SELECT substr(input_text, 1, 3), LEFT(root_name, 2) AS l, right(root_name, 2) FROM traces GROUP BY mid(root_name, 2, 1)",
        [],
    ).sql
    for name in ("substringUTF8(", "leftUTF8(", "rightUTF8(", '"substr(input_text, 1, 3)"'):
        assert name in made, made
    assert made.count("substringUTF8(") == 2 and "mid(" not in made
    assert "leftUTF8(" in compile_condition("left(input_text, 2) = 'Éa'", [])


def test_who_wrote_a_condition_is_told_of_a_condition() -> None:
    for where, said in (
        ("scenario =", "too much at its end"),
        ("(errors > 0", "bracket"),
        ("scenario = 'x", "not closed"),
    ):
        with pytest.raises(QueryRefused, match="this is not a condition") as caught:
            compile_condition(where, SCORERS)
        assert said in f"{caught.value} {caught.value.hint}" and "SELECT" not in caught.value.hint
