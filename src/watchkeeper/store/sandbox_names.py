"""What user SQL may name: functions, node types of the syntax tree, and the arguments of the nodes that have clauses."""

from sqlglot import exp

_FUNCTIONS = """
count sum avg min max median any anyLast anyHeavy argMin argMax uniq uniqExact uniqCombined uniqCombined64 uniqHLL12
quantile quantiles quantileExact quantilesExact quantileExactLow quantileExactHigh quantileTDigest quantilesTDigest
quantileTiming quantilesTiming quantileExactWeighted quantileDD quantileBFloat16 quantileInterpolatedWeighted
stddevPop stddevSamp varPop varSamp stddevPopStable stddevSampStable varPopStable varSampStable covarPop covarSamp
corr skewPop skewSamp kurtPop kurtSamp entropy sumWithOverflow sumKahan sumMap minMap maxMap avgWeighted
topK topKWeighted groupArray groupUniqArray groupArraySample groupArrayLast first_value last_value deltaSum
deltaSumTimestamp exponentialMovingAverage simpleLinearRegression histogram boundingRatio contingency cramersV
studentTTest welchTTest mannWhitneyUTest kolmogorovSmirnovTest rankCorr meanZTest
bar sparkbar windowFunnel retention sequenceCount sequenceMatch
row_number rank dense_rank percent_rank cume_dist ntile lag lead lagInFrame leadInFrame nth_value
lower upper lowerUTF8 upperUTF8 length lengthUTF8 char_length character_length empty notEmpty substring substr
substringUTF8 mid left right leftUTF8 rightUTF8 concat concatWithSeparator trim ltrim rtrim trimBoth trimLeft
trimRight position positionCaseInsensitive positionUTF8 positionCaseInsensitiveUTF8 locate replace replaceAll
replaceOne replaceRegexpAll replaceRegexpOne match extract extractAll like ilike notLike notILike splitByChar
splitByString splitByWhitespace splitByNonAlpha startsWith endsWith reverse reverseUTF8 hasToken
hasTokenCaseInsensitive hasAnyTokens hasAllTokens multiSearchAny multiSearchAnyCaseInsensitive countSubstrings
countSubstringsCaseInsensitive countMatches leftPad rightPad format ngrams tokens domain abs round floor ceil ceiling trunc truncate sqrt cbrt exp exp2 exp10 log ln log2 log10 log1p pow power greatest
least sign intDiv intDivOrZero modulo mod positiveModulo plus minus multiply divide negate isNaN isInfinite isFinite
ifNotFinite erf erfc lgamma tgamma sin cos tan asin acos atan atan2 pi e width_bucket roundBankers
equals notEquals less greater lessOrEquals greaterOrEquals and or xor not
if multiIf ifNull coalesce nullIf isNull isNotNull assumeNotNull toNullable transform isDistinctFrom
toUInt8 toUInt16 toUInt32 toUInt64 toInt8 toInt16 toInt32 toInt64 toFloat32 toFloat64 toString toDate toDate32
toDateTime toDateTime64 toBool toUInt8OrNull toUInt32OrNull toUInt64OrNull toInt32OrNull toInt64OrNull
toFloat32OrNull toFloat64OrNull toDateOrNull toDateTimeOrNull toUInt64OrZero toInt64OrZero toFloat64OrZero
toDecimal32 toDecimal64 cast parseDateTimeBestEffort parseDateTimeBestEffortOrNull parseDateTime64BestEffort
parseDateTime64BestEffortOrNull toUnixTimestamp fromUnixTimestamp toUnixTimestamp64Milli toUnixTimestamp64Micro
toUnixTimestamp64Nano fromUnixTimestamp64Milli fromUnixTimestamp64Micro fromUnixTimestamp64Nano
now now64 today yesterday current_timestamp toStartOfSecond toStartOfMinute toStartOfFiveMinutes
toStartOfFiveMinute toStartOfTenMinutes toStartOfFifteenMinutes toStartOfHour toStartOfDay toStartOfWeek
toStartOfMonth toStartOfQuarter toStartOfYear toStartOfInterval toMonday toLastDayOfMonth toHour toMinute toSecond
toMillisecond toDayOfWeek toDayOfMonth toDayOfYear toWeek toISOWeek toMonth toQuarter toYear toISOYear toYYYYMM
toYYYYMMDD toYYYYMMDDhhmmss dateDiff date_diff timestampDiff timestamp_diff age dateAdd date_add dateSub date_sub
timestampAdd timestampSub dateTrunc date_trunc dateName formatDateTime toTimeZone toRelativeHourNum
toRelativeDayNum addSeconds addMinutes addHours addDays addWeeks addMonths addYears subtractSeconds subtractMinutes
subtractHours subtractDays subtractWeeks subtractMonths subtractYears toIntervalSecond toIntervalMinute
toIntervalHour toIntervalDay toIntervalWeek toIntervalMonth timeSlot formatReadableSize formatReadableQuantity
formatReadableTimeDelta toTypeName
array tuple map tupleElement arrayElement arrayElementOrNull has hasAny hasAll hasSubstr indexOf countEqual arrayJoin
arrayMap arrayFilter arrayExists arrayAll arrayCount arraySum arrayAvg arrayMin arrayMax arraySort arrayReverseSort
arrayDistinct arrayUniq arrayConcat arraySlice arrayReverse arrayZip arrayEnumerate arrayEnumerateUniq
arrayStringConcat arrayFirst arrayLast arrayFirstIndex arrayLastIndex arrayCumSum arrayDifference arrayCompact
arrayFlatten arrayIntersect arrayPushBack arrayPushFront arrayPopBack arrayPopFront arrayProduct arrayROCAUC range
mapKeys mapValues mapContains mapContainsKey mapFromArrays mapFilter mapApply mapAdd mapSubtract mapUpdate
mapContainsKeyLike mapExtractKeyLike
JSONHas JSONLength JSONType JSONExtract JSONExtractString JSONExtractInt JSONExtractUInt JSONExtractFloat
JSONExtractBool JSONExtractRaw JSONExtractArrayRaw JSONExtractKeys JSONExtractKeysAndValues isValidJSON
simpleJSONExtractString simpleJSONExtractInt simpleJSONExtractFloat simpleJSONExtractBool simpleJSONHas
simpleJSONExtractRaw JSON_VALUE JSON_EXISTS JSON_QUERY visitParamExtractString
cityHash64 sipHash64 xxHash64 halfMD5 MD5 SHA256 hex unhex bitAnd bitOr bitXor bitShiftLeft bitShiftRight bitCount
levenshteinDistance editDistance ngramDistance jaroWinklerSimilarity
"""
FUNCTIONS: dict[str, str] = {name.lower(): name for name in _FUNCTIONS.split()}
# Aggregates take these endings: sumIf, avgOrNull, quantileIf, uniqArray. What stays must itself be allowed.
COMBINATORS = ("if", "array", "ornull", "ordefault", "distinct", "map", "argmin", "argmax")

NODES: frozenset[str] = frozenset(
    [
        "Select",
        "Union",
        "Intersect",
        "Except",
        "Subquery",
        "Paren",
        "From",
        "Where",
        "Having",
        "Group",
        "Order",
        "Ordered",
        "Limit",
        "Offset",
        "Distinct",
        "Join",
        "With",
        "CTE",
        "TableAlias",
        "Table",
        "Column",
        "Identifier",
        "Star",
        "Alias",
        "Literal",
        "Null",
        "Boolean",
        "Window",
        "WindowSpec",
        "Rollup",
        "Cube",
        "GroupingSets",
        "Qualify",
        "LimitOptions",
        "Final",
        "PreWhere",
        "And",
        "Or",
        "Not",
        "Xor",
        "EQ",
        "NEQ",
        "NullSafeEQ",
        "NullSafeNEQ",
        "GT",
        "GTE",
        "LT",
        "LTE",
        "Between",
        "In",
        "Is",
        "Like",
        "ILike",
        "NotLike",
        "RegexpLike",
        "Exists",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "IntDiv",
        "Mod",
        "Neg",
        "DPipe",
        "Bracket",
        "Dot",
        "Tuple",
        "Array",
        "Lambda",
        "Case",
        "If",
        "Cast",
        "CastToStrType",
        "DataType",
        "DataTypeParam",
        "Interval",
        "IntervalSpan",
        "Var",
        "Filter",
        "IgnoreNulls",
        "RespectNulls",
        "Anonymous",
        "AnonymousAggFunc",
        "ParameterizedAgg",
        "CombinedAggFunc",
        "CombinedParameterizedAgg",
        "Struct",
        "ColumnDef",
    ]
)

# A clause we do not know is refused even when its content is harmless: SETTINGS and FORMAT hang on a SELECT this way.
CLAUSES: dict[type[exp.Expr], frozenset[str]] = {
    exp.Select: frozenset(
        [
            "expressions",
            "from_",
            "joins",
            "where",
            "group",
            "having",
            "order",
            "limit",
            "offset",
            "distinct",
            "with_",
            "windows",
            "qualify",
        ]
    ),
    exp.SetOperation: frozenset(
        ["this", "expression", "distinct", "by_name", "with_", "order", "limit", "offset"]
    ),
    exp.Subquery: frozenset(["this", "alias", "with_", "order", "limit", "offset", "joins"]),
    exp.Table: frozenset(["this", "alias", "joins", "final"]),
    exp.Join: frozenset(["this", "on", "using", "side", "kind", "method"]),
    exp.CTE: frozenset(["this", "alias", "scalar"]),
    exp.With: frozenset(["expressions"]),
    exp.Limit: frozenset(["expression", "expressions", "limit_options"]),
    exp.Group: frozenset(["expressions", "all", "totals", "rollup", "cube", "grouping_sets"]),
    exp.Distinct: frozenset(["expressions", "on"]),
    exp.Star: frozenset(["except_"]),
    exp.Ordered: frozenset(["this", "desc", "nulls_first"]),
    exp.Window: frozenset(["this", "partition_by", "order", "spec", "alias", "over", "first"]),
    exp.Cast: frozenset(["this", "to"]),
    exp.Final: frozenset(["this"]),
    exp.In: frozenset(["this", "expressions", "query"]),
    exp.Column: frozenset(["this", "table"]),
    exp.Interval: frozenset(["this", "unit"]),
    exp.TableAlias: frozenset(["this"]),
    exp.Offset: frozenset(["this", "expression"]),
}
TYPES: frozenset[str] = frozenset(
    """
    String FixedString UInt8 UInt16 UInt32 UInt64 Int8 Int16 Int32 Int64 Float32 Float64 Bool Boolean Date Date32
    DateTime DateTime64 Nullable Array Tuple Map LowCardinality UUID Decimal Decimal32 Decimal64 Decimal128
    Int BigInt SmallInt TinyInt UTinyInt USmallInt UInt UBigInt Float Double Text Varchar Timestamp TimestampTZ
    """.lower().split()
)
