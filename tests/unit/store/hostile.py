"""Statements that try to leave the sandbox. None may reach the engine in a form that does what it wants."""

_FILES = """
select * from spans into outfile '{out}'
select * from spans into outfile '{out}' format CSV
select * from spans INTO OUTFILE '{out}' TRUNCATE FORMAT Native
select * from spans into dumpfile '{out}'
select 1 into outfile '{out}'
(select 1) into outfile '{out}'
select 1 union all select 2 into outfile '{out}'
select * from spans format CSV
select * from spans format Null
select 1 format JSON
select 1 format TabSeparated settings max_threads = 1
select 1 as a into/**/outfile '{out}'
select 1 /**/ into /* x */ outfile /* y */ '{out}'
select 1 -- x
 into outfile '{out}'
select 1 # x
 into outfile '{out}'
insert into function file('{out}') select 1
insert into table function file('{out}', 'CSV', 'a Int') values (1)
insert into spans select * from spans
insert into spans values (1)
insert into spans from infile '/etc/passwd' format CSV
select * from file('/etc/passwd')
select * from file('/etc/passwd', 'LineAsString', 's String')
select * from file('{out}', 'CSV')
select file('/etc/passwd')
select * from fileCluster('c', '/etc/passwd')
select * from s3('http://127.0.0.1/x')
select * from s3Cluster('c', 'http://127.0.0.1/x')
select * from url('http://127.0.0.1:1/x', CSV, 'a String')
select * from urlCluster('c', 'http://127.0.0.1:1/x')
select * from remote('127.0.0.1', system.one)
select * from remoteSecure('127.0.0.1', system.one)
select * from cluster('default', system.one)
select * from clusterAllReplicas('default', system.one)
select * from mysql('127.0.0.1:1', 'd', 't', 'u', 'p')
select * from postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')
select * from sqlite('{out}', 't')
select * from mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'a Int')
select * from redis('127.0.0.1:1', 'k', 'k String')
select * from jdbc('x', 'y')
select * from odbc('x', 'y')
select * from hdfs('hdfs://127.0.0.1/x')
select * from azureBlobStorage('x')
select * from gcs('http://127.0.0.1/x')
select * from deltaLake('x')
select * from iceberg('x')
select * from hudi('x')
select * from executable('sh -c id', CSV, 'a String')
select * from python('print(1)')
select * from Python(x)
select * from merge('default', '.*')
select * from merge('.*')
select * from mergeTreeIndex('default', 'spans')
select * from mergeTreeProjection('default', 'spans', 'p')
select * from dictionary('d')
select * from input('a Int')
select * from numbers(10)
select * from numbers_mt(10)
select * from zeros(10)
select * from generateRandom('a Int')
select * from generateSeries(1, 10)
select * from values('a Int', 1)
select * from view(select 1)
select * from viewIfPermitted(select 1 else null('a Int'))
select * from null('a Int')
select * from format(CSV, '1')
select * from loop('spans')
select * from timeSeriesData('x')
select * from fuzzJSON('x')
"""

_SYSTEM = """
select * from system.tables
select * from system.one
select * from system.processes
select * from system.settings
select * from system.disks
select * from system.parts
select * from `system`.`tables`
select * from "system"."tables"
select * from "system.tables"
select * from information_schema.tables
select * from INFORMATION_SCHEMA.COLUMNS
select * from default.spans
select * from default.content
select * from _temporary_and_external_tables.x
select * from content
select * from logs
select * from points
select * from default.measurements
select * from schema_migrations
select * from `content`
select * from "content" as spans
select a from (select * from content) as a
select 1 where 1 in content
select 1 where trace_id in default.content
select 1 where (1, 2) in schema_migrations
select in(1, content)
select 1 from spans where trace_id global in content
select 1 from spans where trace_id not in content
select * from spans join content using (trace_id)
select * from spans, content
select (select count() from content)
select exists(select 1 from system.one)
with x as (select * from content) select * from x
select * from (with content as (select 1) select * from content) union all select * from system.one
select database() from spans
select currentDatabase()
select currentUser()
select user()
select hostName()
select fqdn()
select version()
select uptime()
select serverUUID()
select getMacro('x')
select getSetting('max_threads')
select getServerSetting('max_threads')
select getClientHTTPHeader('x')
select tcpPort()
select buildId()
select filesystemAvailable()
select filesystemCapacity()
select initialQueryID()
select queryID()
select connectionId()
select getOSKernelVersion()
select zookeeperSessionUptime()
select dictGet('d', 'a', 1)
select dictGetOrNull('d', 'a', 1)
select joinGet('t', 'a', 1)
select hasColumnInTable('default', 'content', 'body')
select catboostEvaluate('/etc/passwd', 1)
select evalMLMethod(1, 2)
select modelEvaluate('m', 1)
select demangle('x')
select addressToLine(1)
select addressToSymbol(1)
select sleep(3)
select sleepEachRow(3) from spans
select throwIf(1)
select ignore(sleep(3))
select materialize(sleep(3))
select isMergeTreePartCoveredBy('a', 'b')
select showCertificate()
select displayName()
select generateUUIDv4()
select rand()
select fuzzBits('x', 0.5)
select transactionID()
select partitionId(1)
select structureToProtobufSchema('a Int')
select formatQuery('select 1')
select currentProfiles()
select defaultRoles()
select mortonEncode(1, 2)
select initializeAggregation('sum', 1)
select finalizeAggregation(1)
select arrayReduce('groupArray', [1])
select runningAccumulate(1)
select sumState(1)
select countMerge(1)
select repeat('x', 1000000000)
select encrypt('aes-128-ecb', 'x', 'y')
select url('x')
select authenticatedUser()
"""

_STATEMENTS = """
drop table spans
drop database default
truncate table spans
delete from spans where 1
alter table spans delete where 1
alter table spans update name = 'x' where 1
update spans set name = 'x' where 1
create table x (a Int) engine = Memory
create temporary table x (a Int)
create table x engine = File(CSV) as select 1
create view x as select 1
create materialized view x engine = Memory as select 1
create function f as (x) -> x
create user x
create database x
create dictionary d (a Int) primary key a source(file(path '/etc/passwd' format 'CSV'))
create named collection x as a = 1
grant all on *.* to default
revoke all on *.* from default
rename table spans to x
exchange tables spans and traces
attach table x
detach table spans
optimize table spans final
system shutdown
system flush logs
system reload config
kill query where 1
set max_execution_time = 0
set readonly = 0
use system
show tables
show create table spans
show databases
show processlist
show grants
describe table spans
describe spans
explain select 1
explain syntax select 1
explain plan select 1
check table spans
exists table spans
prepare x as select 1
execute x
backup table spans to File('{out}')
restore table spans from File('{out}')
select 1; select 2
select 1; drop table spans
select 1;; drop table spans
;drop table spans
select 1 /* ; */ ; insert into spans values (1)
begin transaction
commit
values (1)
table spans
copy spans to '{out}'
load data infile '/etc/passwd' into table spans
pragma table_info(spans)
merge into spans using traces on 1 when matched then delete
watch x
call x()
declare x int
do sleep(1)
parallel with select 1
undrop table spans
"""

_SHAPES = """
with recursive t as (select 1 as n union all select n + 1 from t) select * from t
with recursive t as (select 1) select * from t
select 1 settings max_memory_usage = 0
select 1 settings readonly = 0, max_execution_time = 0
select * from spans settings allow_ddl = 1
select * from (select * from spans settings max_threads = 1)
select 1 limit 1 settings max_result_rows = 0
select * from spans prewhere 1 settings max_threads = 1
select * from spans sample 0.1
select * from spans limit (select 5)
select * from spans limit 1 + 1
select * from spans limit -1
select * from spans limit {{p:UInt64}}
select {{p:String}}
select {{wk_project:String}}
select {{wk_project:Identifier}}
select * from {{t:Identifier}}
select ?
select :x
select $1
select @@version
select @x
select columns('.*') from spans
select columns('proj.*') from spans
select * apply(toString) from spans
select * replace (1 as name) from spans
select * from spans for update
select 1 into x
select top 5 * from spans
select * from spans t (a, b)
select * from (values (1)) as t
select * from lateral (select 1)
select * from spans pivot (sum(cost) for name in ('a'))
select * from spans tablesample (10)
select * from spans order by name with fill
select * from spans order by name interpolate
select 1 as `a"b`
select 1 as "a`b"
select 1 as `a\\`
select `x\\'y` from spans
select cast(1 as AggregateFunction(sum, UInt8))
select cast(1 as Object('json'))
select cast(1 as Dynamic)
select 1::Enum('a' = 1)
select $$ heredoc $$
select $x$ ' $x$
select x'41'
select b'01'
select 0xFF
select system.one.dummy from spans
select default.spans.name from spans
select a.b.c.d from spans as a
select project from spans, system.one
select ѕleep(1)
ѕelect 1
select * from ѕpans
select * from spаns
select 1 from ｓｐａｎｓ
select ﬁle('/etc/passwd')
select * from spans where name = 'x' union all select * from system.tables
select * from spans where name = '\\\\' union all select * from system.tables -- '
select lambda(x -> sleep(x))
select arrayMap(x -> sleep(x), [1, 2])
select arrayMap(x -> file(x), ['/etc/passwd'])
select arrayMap((x) -> (select * from system.one), [1])
select arraySort(x -> getSetting('a'), [1])
select sumIf(1, sleep(1))
select sleepIf(1, 1)
select fileIf('x', 1)
select count() filter (where sleep(1)) from spans
select sum(cost) over (order by sleep(1)) from spans
select 1 from spans group by sleep(1)
select 1 from spans having sleep(1)
select 1 from spans order by sleep(1)
select 1 from spans join traces on sleep(1)
select 1 from spans limit 1 by sleep(1)
select 1 from spans array join [sleep(1)] as x
select 1 from spans qualify sleep(1)
select case when sleep(1) then 1 end
select (sleep(1))
select [sleep(1)]
select (1, sleep(1)).2
select map('a', sleep(1))
select -sleep(1)
select not sleep(1)
select sleep(1) between 1 and 2
select 1 in (sleep(1))
select interval sleep(1) second
select cast(sleep(1) as String)
with sleep(1) as x select x
with (select * from system.one) as x select x
with x as (select sleep(1)) select * from x
select "sleep"(1)
select `sleep`(1)
select SLEEP(1)
select SlEeP(1)
select sleep (1)
select sleep/**/(1)
"""


def statements(out: str) -> list[str]:
    """Every statement; `out` is where those that write a file would write it. Lines that begin with a space belong
    to the statement before."""
    found: list[str] = []
    for group in (_FILES, _SYSTEM, _STATEMENTS, _SHAPES):
        for line in group.format(out=out).strip("\n").split("\n"):
            if line.startswith(" ") and found:
                found[-1] += "\n" + line
            elif line:
                found.append(line)
    return [*found, "select " + "(" * 600 + "1" + ")" * 600, "select " + "1+" * 9000 + "1", "select '\x00'"]
