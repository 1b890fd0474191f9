"""What users say when an answer did not help: that they do not understand it, that they lose patience, that they want a person.

Each list holds patterns in the common subset of hyperscan and `re`, English first, then the languages most often written to
assistants. Precision first: the same words about something else ("which agent delivers it?") must not count. Other languages hold only what
hardly anybody says about anything else. A message is read with a line end behind it, because an end inside a choice is no subject for
hyperscan.
"""

_YOU_CAN = r"(?:can|could|would|will) you (?:please |maybe |just )?"
CLARIFY: tuple[str, ...] = (
    r"\b(?:what (?:exactly )?(?:do|does|did) (?:you|that|this|it) (?:even )?mean|what(?:'s| is) (?:that|this) (?:supposed to )?mean|"
    # To understand nothing is said of the answer; not to understand recursion is a question.
    r"(?:do not|don'?t|did not|didn'?t|can'?t|cannot) (?:quite |really |fully )?(?:understand|follow|get (?:it|that|this|what you))"
    r"(?:[ \t]*[.,;!?…)\n]| (?:that|this|it|you|your|what you|sorry|at all|the (?:last|first|second|third|answer|explanation|instructions?|step|part))\b)|"
    r"i'?m (?:a (?:bit|little) )?(?:confused|lost|not following)(?:[ \t]*[.,;!?…)\n]| (?:by|about|with) (?:that|this|your|what you|the (?:answer|last|first|second|step))\b|,)|"
    r"not sure (?:i|if i|that i) (?:understand|follow|get (?:it|that|you|this))|not sure what you mean|you(?:'?ve| have)? lost me|"
    rf"{_YOU_CAN}(?:clarify|explain (?:that|this|it|again|more|further|yourself|your)|elaborate|rephrase|be (?:a bit |a little )?(?:more (?:specific|clear|precise)|clearer)|simplify(?: (?:that|this|it))?[ \t]*[.,!?\n]|"
    r"(?:break|dumb) (?:it|that|this) down|give (?:me |us )?an example|say (?:that|it) (?:again|differently|more simply))|"
    r"please (?:clarify|elaborate|rephrase|explain (?:that|it|again))|say (?:that|it) again in |explain (?:it |that )?(?:like i'?m|as if i) |"
    r"(?:that|this|it) (?:does not|doesn'?t|makes no) (?:make (?:any )?)?sense(?: to me)?|which (?:\w+ ){1,3}do you mean|what (?:do you mean|are you talking about|are you saying)|know what (?:you mean|you'?re (?:talking about|saying)|(?:that|this) (?:means|is supposed))|wait,? what\b|"
    r"in (?:simple|simpler|plain|other) (?:words|terms|english)|not clear to me|unclear)"
    r"|^\s*(?:huh|what|pardon|come again|say again|meaning|sorry|what\?? sorry|eh|which ones?|like what|how so|such as|\?+)\s*\?+\s*$",
    r"\b(?:was (?:meinst du|meinen sie|soll das (?:heißen|bedeuten))|wie (?:meinst du|meinen sie) das|(?:verstehe?|kapiere?|begreife?) (?:ich |das |es |dich |sie )*(?:leider |immer noch )?nicht(?: ganz)?[ \t]*[.,;!?\n]"
    r"|(?:können sie|kannst du|könntest du|könnten sie) (?:mir |das |es |bitte |noch ?mal )*(?:genauer|näher|einfacher|anders|noch ?mal|noch einmal) (?:erklären|erläutern|sagen))"
    r"|\bno (?:lo |te |le |la )?(?:entiend[oí]|comprendo|entendí)\s*(?:[.,;!?\n]|bien|nada|lo que)|\bno me (?:queda|quedó) claro|\bqué (?:quieres|quiere|quiso|quisiste) decir(?: con)?|\ba qué (?:te refieres|se refiere)"
    r"|\b(?:puedes|puede|podrías|podría) (?:aclarar\w*|explicar(?:lo|me|melo) (?:mejor|eso|otra vez|de nuevo|de otra))"
    r"|\b(?:que voulez[- ]vous|qu['’]est[- ]ce que (?:tu veux|vous voulez)|tu veux|vous voulez) dire|\bje (?:ne |n['’])?(?:comprends|saisis|ai) pas (?:bien )?(?:compris|saisi)?[ \t]*[.,;!?\n]|\bc['’](?:est|était) pas clair|^\s*c['’]est[- ]à[- ]dire\s*\?"
    r"|\b(?:pouvez[- ]vous|peux[- ]tu|pourriez[- ]vous|tu peux) (?:me |l['’]|le |s['’]il \w+ \w+ )*(?:préciser|clarifier|reformuler|réexpliquer)",
    r"\b(?:cosa|che cosa) (?:intendi|intende|vuoi dire|vuole dire)|\bin che senso\s*\?|\bnon (?:ho capito|capisco|mi è chiaro)\s*(?:[.,;!?\n]|bene|cosa)|\b(?:puoi|può|potresti|potrebbe) (?:chiarire|rispiegar\w*|spiegar\w+ meglio)"
    r"|\bnão (?:entendi|entendo|percebi|compreendi|ficou claro)\s*(?:[.,;!?\n]|bem|nada|o que)|\bo que (?:você |o senhor |a senhora )?quer dizer|\bcomo assim\s*\?|\b(?:pode|poderia) (?:esclarecer|explicar melhor)"
    r"|\bwat bedoel(?:t| je| u)|\b(?:snap|begrijp) (?:ik )?(?:het|dit|dat|je|u) niet|\bco (?:masz|pan ma|pani ma) na myśli|\bnie (?:rozumiem|zrozumiałe?m)[ \t]*[.,;!?\n]"
    r"|что (?:вы|ты|это) (?:имеете в виду|имеешь в виду|значит|означает)|не (?:понял[аи]?|понимаю|поняла)[ \t]*[.,;!?\n]|в смысле\s*\?|(?:ne demek istiyor|anlamadım|anlayamadım)",
    r"(?:^|[。！？，,\s那你])(?:这是|那是|是)?(?:什么|啥)意思[呢啊呀]?[？?。！\s]*\n|没(?:听|看)?懂|听不懂|看不懂|不(?:太)?明白(?:你|这|[。，！\n])|说(?:得)?(?:清楚|明白|详细)(?:一)?点|什麼意思[？?]*\n"
    r"|どういう(?:意味|こと)(?:です|でしょう|なの|[？?\n])|(?:よく|ちょっと|意味が)(?:わか|分か)(?:りません|らない)|(?:^|[。、])(?:わかりません|分かりません)|理解できません|もう(?:少し|一度)(?:詳しく|わかりやすく|説明)"
    r"|무슨 ?(?:뜻|말|의미)(?:이에요|인가요|입니까|이죠|인지|이야|\?)|이해(?:가 ?안|를 ?못|하지 못|할 수 없)|(?:ماذا|ما الذي) (?:تقصد|تعني)|(?:لم|لا) أفهم",
)
FRUSTRATED: tuple[str, ...] = (
    r"\b(?:useless|worthless|pathetic|ridiculous|outrageous|unacceptable|infuriating)\b|"
    r"\b(?:(?:this|that|it|you)(?:'?s| is|'?re| are) (?:so |really |absolutely |just |getting |beyond |all )*"
    r"(?:terrible|awful|garbage|trash|rubbish|stupid|dumb|horrible|nonsense|insane|absurd|hopeless|a joke|a disgrace|a mess|no help|frustrating|annoying|driving me)|"
    r""
    r"(?:still|again) (?:not (?:right|correct|working|what i)|wrong|broken|failing|no (?:answer|reply|solution)|nothing|(?:getting|seeing|have|has) the same|does ?n[o']?t work|doesn'?t work|can'?t (?:find|do|answer|get))|"
    r"(?:still )?not (?:been )?(?:fixed|solved|resolved)\b|wrong[.,!]+ again|has been a (?:complete |total |real )?(?:nightmare|disaster|joke)|how hard (?:can|is|could) (?:it|this|that)|(?:conversation|chat|whole thing|this) is (?:so |completely |totally )?(?:pointless|hopeless|going nowhere)|"
    r"(?:have|has|had) (?:absolutely |clearly |really )?no (?:idea|clue) (?:what|how|do you)|(?:you|clearly|obviously) (?:\w+ )?have no (?:idea|clue)|can'?t believe (?:how (?:bad|slow|poor|useless)|this|you)|(?:losing|lost|running out of|out of) (?:my )?patience|you (?:just|only|keep) repeat(?:ed|ing)?\b|same (?:wrong |stupid |damn )?(?:error|problem|issue|thing|answer|response|message) (?:as (?:before|last time)|again|over and over)|"
    r"(?:that|this)(?:'?s| is) (?:still )?(?:not (?:at all )?what i (?:asked|wanted|said|meant|need)|(?:completely|totally|just) "
    r"wrong|wrong|no help|not helpful|unhelpful)|not what i (?:asked|wanted|said|meant)|wrong again|"
    r"(?:you(?:'?re| are) )?not (?:listening|helping|answering)|are you (?:even )?(?:listening|reading|stupid|deaf|blind|kidding|serious|a joke)|do you even (?:read|listen|understand|know)|can(?:'?t)? you (?:even )?read\b|"
    r"you (?:(?:clearly|obviously|still|just|really) )?(?:did ?n[o']t|didn'?t|do ?n[o']t|don'?t|never|aren'?t) (?:even |really )?(?:listen(?:ing)?|read(?:ing)? (?:what|my|it)|answer(?:ing)? (?:my|me|the)|understand (?:me|anything|what i|my))|"
    r"you(?:'?re| are|'?ve| have| keep)? (?:been )?(?:ignor(?:ed|ing)) (?:me|my|what i)|"
    r"i(?:'?ve| have)? (?:already|just) (?:told|said|asked|explained|answered)|(?:you )?already (?:said|told me|asked)|you(?:'?ve| have)? (?:told|asked|said) (?:me )?(?:that|this|it) (?:\w+ )?(?:times|already|before)|"
    r"how many times (?:do|must|should|have) i (?:have to|need to|must|told|asked|said|to)|"
    r"(?:i'?m |i am )?(?:so |really |very |getting )?(?:frustrated|fed up|annoyed|sick of|(?:so|really) tired of (?:this|you|your))|"
    r"(?:total |complete |huge )?waste of (?:my |everyone'?s )?(?:time|space|money)|wast(?:ed|ing) (?:my|an?|half an?|\d+|the whole|all my|enough|so much|two|three) (?:time|hours?|days?|minutes|day|morning|afternoon|evening)|"
    r"(?:going|been going|running) (?:around |round )?in circles|back and forth (?:with you )?(?:for|all)|(?:no ?one|nobody) (?:is )?(?:helps?|helping|answers?|answering|responds?)\b|"
    r"forget it|never ?mind then|i give up|give up|for god'?s sake|for (?:heaven'?s|fuck'?s|the love of) |ffs|wtf|what the (?:hell|fuck|heck)|enough (?:already|is enough)|"
    r"stop (?:repeating|saying that|asking|wasting|ignoring|(?:giving|sending|telling) me)|(?:not|isn'?t|aren'?t) helping(?: me| at all)|(?:that|this|it|which) (?:doesn'?t|does not|didn'?t|did not) (?:even |really )?answer (?:my|the)|you keep (?:saying|asking|repeating|giving)|(?:that|this|it) (?:really )?(?:doesn'?t|didn'?t|isn'?t|does not) help(?:ing)?(?: me| at all)?|"
    r"why (?:can'?t|won'?t|don'?t|is it so hard|can you not) (?:you |to |for you to )?(?:just|even|ever|simply|finally) |(?:omg|please|will you|can you|could you) just answer|"
    r"answer (?:my|the) (?:damn |bloody |fucking )?question)\b"
    r"|\b(?:(?:for|this is|that(?:'?s| is)) the (?:second|third|fourth|fifth|\d+(?:nd|rd|th)|last|hundredth) time(?:[ ,:.!]*\n|[,:.!]| (?:i|that i|i'?ve|you|now|already|today|in a row))|worst (?:\w+ ){0,2}(?:service|support|bot|chatbot|assistant|company|experience|app)(?: ever|[.!\n])|(?:not|isn'?t|aren'?t) helping[.!\n])"
    r"|^\s*(?:u+gh+|a+rgh+|come on+!+|no[,!.]* no[,!.]* no\b|seriously\s*\?|unbelievable[.!]*\n|nope[,.!]* (?:still|wrong))",
    r"\b(?:idiot|moron|(?:stupid|dumb|useless) (?:bot|machine|ai|thing|answer)|fuck (?:you|this|off)|piece of (?:shit|crap)|bullshit|read the fucking|answer the fucking)\b",
    r"\b(?:funktionier(?:t|en)|klappt|geht|läuft) (?:es |das |leider )?(?:immer noch|noch immer|weiterhin|schon wieder|überhaupt) nicht|\bimmer noch (?:falsch|kaputt|derselbe|der ?gleiche|dasselbe|das ?gleiche|keine (?:antwort|lösung))|\bschon wieder (?:falsch|der|das)"
    r"|\b(?:ein (?:schlechter )?witz|lächerlich|unverschämt|frechheit|zumutung|schwachsinn|blödsinn|zeitverschwendung|nutzlos|unfassbar|inakzeptabel)\b|\bnervt\b"
    r"|\bhabe ich (?:doch |ihnen |dir |euch |das )*(?:schon|bereits) (?:\w+ )?(?:gesagt|geschrieben|erklärt|beantwortet)|\bzum (?:zweiten|dritten|vierten|wiederholten|hundertsten|x-ten) mal\b|\b(?:mir reicht|jetzt reicht|es reicht|nase voll)\b|\bhilft mir nicht(?: weiter)?\b"
    r"|\b(?:verstehst|verstehen) (?:du |sie )?(?:mich )?(?:wohl |überhaupt |gar )?nicht, was\b|\bnicht das,? was ich (?:wollte|gefragt|meinte)|\b(?:hörst du|hören sie) (?:mir )?(?:überhaupt|nicht) zu"
    r"|\b(?:werkt|doet het) nog (?:steeds|altijd) niet|\bdat heb ik (?:toch |je |u )*al gezegd|\bvoor de (?:tweede|derde|zoveelste) keer|\b(?:belachelijk|waardeloos|schandalig|tijdverspilling)\b",
    r"\b(?:sigue|todavía|aún|siguen) (?:sin funcionar|no funciona|igual|mal\b|dando el mismo)|\bno (?:me )?(?:sirve|ayuda) (?:para )?nada|\bya (?:te|le|os|se|les) l[oa] (?:he )?(?:dij|dich|expliq|explicad|mandé|envié)\w*|\bpor (?:segunda|tercera|cuarta|quinta|enésima) vez"
    r"|\b(?:es|qué|esto es|son) (?:muy |una |un |totalmente )*(?:ridícul[oa]|vergüenza|inaceptable|burla|porquería|desastre|inútil(?:es)?|pésim[oa])|\bno me (?:estás?|están?) ayudando|\b(?:servicio|atención|soporte) (?:es |tan |muy )*(?:pésim[oa]|horrible|terrible|malísim[oa])|\b(?:pésim[oa]|horrible|malísim[oa]) (?:servicio|atención|soporte)|\bpérdida de tiempo|\bestoy (?:hart[oa]|cansad[oa]) de|\bno me (?:entiendes|entiende|entienden|escuchas|escucha)\b|\botra vez (?:mal|lo mismo|el mismo)|\bno es lo que (?:pedí|pregunté|dije|quería)"
    r"|\bn['’]importe quoi\b|\b(?:marche|fonctionne|répond\w*) (?:toujours|encore|vraiment) (?:pas|rien)|\btoujours (?:le|la) même (?:erreur|problème|réponse|message)|\b(?:l['’]ai|ai) déjà (?:dit|expliqué|répondu|demandé|envoyé)|\b(?:deuxième|troisième|énième) fois que (?:je|j['’]|vous)"
    r"|\bc['’]est (?:vraiment |complètement |totalement )?(?:ridicule|inadmissible|une blague|nul|scandaleux|inacceptable|honteux|n['’]importe)|\b(?:perte de temps|perdre (?:mon|notre|du) temps)|\bj['’]en ai (?:marre|assez|ras)|\b(?:vous ne|tu ne|vous) (?:comprenez|comprends|répondez|écoutez) (?:rien|pas (?:ce|ma|à ma))|\b(?:complètement|totalement) inutile|\bpas ce que j['’]ai (?:demandé|dit)",
    r"\b(?:ancora non|non|continua a non) funziona(?:no)? (?:ancora|niente|per niente)|\bancora non funziona|\bl['’]ho già (?:detto|spiegato|scritto)|\bper la (?:seconda|terza|quarta|ennesima) volta|\b(?:ridicol[oa]|inaccettabile|vergognos[oa]|perdita di tempo|inutil[ei] (?:bot|servizio))\b|\bnon mi (?:stai|sta|state|stanno) aiutando|\bperdere tempo\b|\bsiete (?:inutili|ridicoli)|\bsono stuf[oa]\b|\bnon (?:capisci|capite|ascolti|serve a) (?:niente|nulla)|\bnon è quello che (?:ho chiesto|volevo)"
    r"|\b(?:ainda|continua) (?:não|sem) funciona\w*|\bjá (?:te |lhe |vos )?(?:disse|falei|expliquei) (?:isso|que|mil|várias|três|duas|isto)|\bpela (?:segunda|terceira|quarta|enésima|milésima) vez|\b(?:é|que|isso é|isto é) (?:um |uma |totalmente )*(?:ridículo|absurdo|inaceitável|vergonha|palhaçada|inútil)|\bnão (?:está|estão|tá) (?:me )?ajudando|\b(?:atendimento|serviço|suporte) (?:é |muito |tão )*(?:péssimo|horrível|terrível|ruim)|\bperda de tempo|\b(?:estou|tô) (?:fart[oa]|cansad[oa]) (?:de|d)|\bnão (?:entende|entendem|serve|ajuda) (?:pra |para )?nada|\bnão foi isso que (?:eu )?(?:pedi|perguntei)"
    r"|\b(?:nadal|wciąż|dalej|ciągle) nie działa|\b(?:już|juz) (?:ci |wam |panu |pani )?(?:mówił|pisał|tłumaczył)\w*|\b(?:żenada|żenujące|bezużyteczn\w*|skandal)\b|\bstrata czasu|\bmam (?:tego )?dość"
    r"|\b(?:hâlâ|hala) (?:çalışmıyor|olmadı|aynı)|\bkaç (?:kere|defa|kez) (?:söyle|yaz|anlat)\w*|\bişe yaramaz|\b(?:saçmalık|rezalet|bıktım)\b|\bzaman kaybı",
    r"(?:вс[её] (?:ещ[её]|равно)|до сих пор|опять|снова) не (?:работает|то|правильно|помогло|получа)|я (?:же |уже )+(?:вам |тебе )?(?:сказал|говорил|писал|объяснял)|\bвы (?:вообще|хоть|там|что)[^.!?\n]{0,12} (?:читаете|слышите|слушаете|понимаете)|в (?:второй|третий|сотый|который) раз|бесполезн|издева(?:ете|еш)|\b(?:ерунда|бред)\b|надоел|потеря времени|сколько можно|не (?:слышите|слушаете|читаете) меня"
    r"|还是(?:不行|不对|一样|没用|错)|又(?:错|不对)了?|(?:说|问|讲)(?:了|过)(?:多少|几|两|三|好几|无数)[遍次]|浪费(?:我的?|大家的?)?时间|听(?:不懂|得懂)人话|答非所问|烦死|受够|太差劲|气死|垃圾(?:客服|机器人|软件|系统|服务)|有没有(?:在)?(?:看|听|认真)|没(?:一)?点?用|到底(?:有没有|能不能|会不会|行不行)"
    r"|何(?:度|回)(?:も)?(?:言|同じ|聞)|まだ(?:動か|直ら|でき)な|役に立(?:た|ち)(?:な|ま)|ふざけ|いい加減に|イライラ|そうじゃな(?:い|く)|話にならな|時間の無駄|全然(?:違|だめ|ダメ)"
    r"|아직도 ?(?:안|그대로|똑같)|또 (?:틀렸|안 ?되|똑같)|몇 ?번(?:을|이나)? ?(?:말|물어|얘기)|쓸모 ?없|짜증|답답|장난(?:하|치)|시간 ?낭비|말이 ?안 ?통|(?:قلت لك|مضيعة للوقت|غير مقبول|لا يزال لا يعمل|ما زال لا يعمل)",
)
_PERSON = r"(?:human(?: being)?s?|(?:real|live|actual|human) (?:person|human|agents?|people|representative|employee|operator|chat)|person|people|someone (?:real|else|human|in charge|from|at|who)|some(?:one|body) (?:real|in|on)" \
    r"|(?:customer )?(?:service |support |care )?(?:agent|representative|rep|operator|specialist|advisor|adviser)|(?:customer|technical|tech) (?:service|support|care)|manager|supervisor|somebody else|your (?:boss|team))"  # fmt: skip
_ONE = r"(?:an?|the|your|some) (?:actual |real |live |human )?(?:human|person|agent|representative|manager|supervisor|operator|advisor)"
_WORKER = r"(?:menschen|mitarbeiter\w*|(?:kunden)?berater\w*|vorgesetzte\w*|person|agenten|kundendienst|kundenservice|support(?:-?mitarbeiter\w*)?)"
ESCALATE: tuple[str, ...] = (
    rf"\b(?:(?:talk|speak|chat|connect(?:ed)?|transfer(?:red)?|escalate[ds]?|hand(?:ed)? (?:me )?over|put (?:me )?through|pass me|deal)"
    rf"(?: me)? ?(?:directly |on |through )?(?:to|with)?(?: an?| the| your| some)? ?(?:actual |another |different )?{_PERSON}(?:[^\w\s]|\n|\s+(?:please|now|instead|about|for|who|on|at|in|from|or|to|right|today|immediately|if|because|your)\b)|"
    r"(?:can|could|let|may|want|like|need|prefer|please|rather|demand|have) (?:\w+ ){0,3}(?:talk|speak|chat|deal) (?:directly )?(?:to|with) (?:an?|the|your|some) (?:actual |real |live |human |different )*"
    r"(?:person|human|agent|representative|manager|supervisor|operator|advisor)\b|"
    rf"(?:want|need|like|get|give|find|prefer|demand) (?:me )?(?:to (?:talk|speak|chat) (?:to|with) )?(?:an?|the|your|some) (?:actual )?"
    rf"(?:human|real (?:person|human|agent)|live (?:agent|person|representative)|manager|supervisor|representative)(?:[^\w\s-]|\n|\s+(?:please|now|instead|here|on|to (?:help|call|contact|talk|speak)|who|not|and)\b)|"
    rf"(?:is there|can i have|could i have) (?:an?|some) (?:actual |real )?(?:human|person|agent|representative|manager|supervisor)|"
    rf"(?:can|could|please (?:have|let)|have|let|would|will) (?:{_ONE}|some(?:one|body)(?: real| else| human)?) (?:please )?(?:take over|step in|call(?: me)?(?: back)?|contact me|get back to me|reach out to me|help me instead)\b|"
    r"(?:phone )?number (?:where |that |so )?i can (?:call|reach|talk|speak|phone)|no (?:more )?bots?\b|(?:want|like|wish) to (?:chat|talk|speak|deal) (?:with|to) (?:an? |this )?(?:bot|machine|computer|robot|ai)\b|(?:connected|transferred|speak|talk|chat) (?:to|with) (?:some(?:one|body)|any(?:one|body)) (?:in|from|at|on|else|real|who|there)\b|(?:needs?|has|must|should) (?:to )?go to (?:an?|the|your) (?:manager|supervisor|human|person)|(?:a|any) (?:real|live|actual|human) (?:employee|agent|operator|rep)\b|(?:human|agent|representative|operator|person),? please|"
    r"escalate (?:this|my|the)|file a (?:formal )?complaint|speak (?:to|with) (?:some(?:one|body)|any(?:one|body)) (?:from|in|at|on|else|real)\b)|^\s*(?:human|agent|representative|operator|live chat|real person)[.!]*\s*$",
    rf"\bmit (?:einem|einer|ihrem|ihrer|eurem|jemandem)(?: echten| richtigen| menschlichen)? ?(?:{_WORKER})? (?:aus \w+ )?(?:sprechen|reden|verbinden|verbunden|chatten|telefonieren)\b|\bverbinde[n]? (?:sie )?mich\b|\b(?:stellen sie|stell) mich (?:\w+ )?durch|^\s*(?:mitarbeiter|mensch)[.!]*\s*$"
    r"|\b(?:agente|asesor|operador|atendente|operatore|conseiller|agent|medewerker|mitarbeiter|consulente) (?:humano|umano|humain|real|reale|mens)\b|\bhablar con (?:un |una |el |la |su |tu |algún |alguna )?(?:persona|humano|agente|operador|representante|asesor|supervisor|encargad[oa]|gerente|alguien)\w*|\b(?:p[áa]s[ea]me|comun[íi]quenme|comun[íi]queme|transfi[eé]r[ae]me|con[eé]ct[ae]me) (?:con|a)\b"
    r"|\b(?:mise?|mettre|entrer) en (?:relation|contact) avec (?:un |une |votre )?(?:conseill|agent|responsable|humain|personne)\w*|\bparler (?:à|avec|directement à) (?:un |une |votre |le |la )?(?:vrai |vraie |autre )?(?:humain|personne|conseill|agent|opérat|responsable|être humain|quelqu['’]un)\w*|\b(?:passez|mettez|transférez)[- ]moi\b",
    r"\bparlare con (?:un |una |un['’]|il |la |qualcuno|vostro )?(?:persona|umano|operator|responsabile|consulente|addett)?\w*(?:[.!?,\n]| (?:per favore|vero|reale|umano|subito))|\b(?:mi passi|passami|mi metta in contatto)\b"
    r"|\bfalar com (?:um |uma |o |a |algum )?(?:atendente|pessoa|humano|gerente|supervisor|alguém|operador|responsável)|\b(?:me (?:passa|transfere|transfira|conecte)|passe-me) (?:para|a|com)\b"
    r"|\b(?:spreken|praten) met (?:een |iemand)(?:echte? |van )?(?:mens|medewerker|persoon|manager)?|\b(?:een mens|een medewerker|iemand) (?:spreken|aan de lijn)|\b(?:verbind me|doorverbonden)\b|\b(?:porozmawiać|rozmawiać|połącz\w*)(?: mnie)? z (?:człowiekiem|konsultant|kierownik|pracownik|kimś)\w*"
    r"|(?:müşteri (?:temsilcisi|hizmetleri)|temsilci|yetkili|gerçek (?:bir )?(?:kişi|insan))\S* (?:ile |le |la |biriyle )?(?:bağla|görüş|konuş)\S*|(?:соедините|переключите|переведите|позовите)(?: меня)? (?:с |на )?(?:оператор|человек|менеджер|специалист|сотрудник)|(?:дайте|хочу|нужен|позовите|нужно) (?:\w+ )?(?:оператора?|живого человека|живой человек|менеджера)|(?:поговорить|связаться) с (?:живым |реальным )?(?:человеком|оператором|менеджером|сотрудником|кем-)|^\s*оператор[.!]*\s*$",
    r"转(?:接)?人工|轉人工|人工(?:客服|服务|服務)|真人(?:客服|服务)?[，。！吗\n]|(?:找|叫|换)(?:个|一个|你们)?(?:人工|经理|主管|真人)|(?:跟|和|与)(?:真人|客服|经理|主管)(?:说|聊|谈|通)"
    r"|(?:人間|オペレーター?|担当者|責任者|有人|上司)(?:の方)?(?:と|に|へ|を)(?:話|繋|つな|代わ|変わ|替わ|出し)|상담(?:원|사)(?:이랑|과|하고|을|에게|한테)? ?(?:연결|통화|바꿔|불러|이야기|얘기)|(?:사람|담당자|매니저)(?:이랑|과|하고|와)? ?(?:통화|얘기|이야기|연결)|(?:التحدث|أتحدث|اتكلم|أتكلم|تحويلي) (?:مع|إلى) (?:شخص|موظف|إنسان|مدير|ممثل)",
)
