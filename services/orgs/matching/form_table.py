"""Legal forms of companies: how each is written, and of what kinds it is. Data only.

One row per form: its canonical spelling, its kinds, whether it may also precede a name, and its
spellings, separated by semicolons, in the script in which they are written. Spellings get the
same folding as names, so case, accents, dots and slashes need no rows of their own.
Forms that the law of some country uses for two kinds list both, so as not to contradict either.
"""

# ruff: noqa: ISC004, RUF001  a row is a line or a few, in whatever script it is written

PRIVATE = frozenset({"private company"})
PUBLIC = frozenset({"public company"})
CORPORATION = frozenset({"corporation"})
LLC = frozenset({"limited liability company"})
PARTNERSHIP = frozenset({"partnership"})
ASSOCIATION = frozenset({"association"})
FOUNDATION = frozenset({"foundation"})
COOPERATIVE = frozenset({"cooperative"})
SOLE = frozenset({"sole trader"})
ANY_COMPANY = PRIVATE | PUBLIC
UNSAID: frozenset[str] = frozenset()

Row = tuple[str, frozenset[str], bool, str]

FORMS: tuple[Row, ...] = (
    # English
    ("ltd", PRIVATE, False, "ltd;limited;ltd co;limited company;private limited;private ltd;"
     "pvt ltd;pvt limited;p ltd;private limited company;pte ltd;pte limited;pty ltd;pty limited;"
     "proprietary limited;pty;pte;ltée;limitée;teoranta;teo;cyfyngedig;opc private limited;"
     "opc pvt ltd;company limited by guarantee;one person company"),
    ("co ltd", ANY_COMPANY | CORPORATION, False, "co ltd;co limited;company ltd;company limited;"
     "corporation limited;corp ltd;corporation ltd;and co ltd;"
     "and co limited;and company limited"),
    ("dac", PRIVATE, False, "dac;designated activity company"),
    ("plc", PUBLIC, False, "plc;public limited company;public ltd co;cpt;ccc"),
    ("inc", CORPORATION, False, "inc;incorporated;incorporée"),
    ("corp", CORPORATION, False, "corp;corporation"),
    ("co", UNSAID, False, "co;company;and co;and company;cos;und co;et cie;cie;et compagnie"),
    ("llc", LLC, False, "llc;lc;limited liability company;limited liability co;pllc;"
     "professional limited liability company;l.l.c;dmcc;fze;fzco;fz llc;fzc"),
    ("llc", LLC, True, "llc;limited liability company"),
    ("llp", PARTNERSHIP, False, "llp;limited liability partnership;rllp"),
    ("lp", PARTNERSHIP, False, "lp;limited partnership;lllp;limited liability limited partnership;"
     "slp;ilp"),
    ("ulc", PRIVATE, False, "ulc;unlimited company;unlimited;unltd;uc"),
    ("pc", CORPORATION, False, "pc;professional corporation"),
    ("cic", ASSOCIATION, False, "cic;community interest company;cio"),
    # German
    ("gmbh", PRIVATE, False, "gmbh;gesmbh;gesellschaft mbh;mbh;ggmbh;gemeinnützige gmbh;"
     "gesellschaft mit beschränkter haftung;ges mbh"),
    ("ug", PRIVATE, False, "ug;ug haftungsbeschränkt;unternehmergesellschaft;"
     "unternehmergesellschaft haftungsbeschränkt;haftungsbeschränkt"),
    ("ag", PUBLIC, False, "ag;aktiengesellschaft;invag;investmentaktiengesellschaft"),
    ("kg", PARTNERSHIP, False, "kg;kommanditgesellschaft;co kg;gmbh and co kg;mbh and co kg;"
     "gmbh co kg;ag and co kg;gmbh und co kg;ug and co kg;gesellschaft mbh and co kg;"
     "ug haftungsbeschränkt and co kg;se and co kg;and co kg;gmbh u co kg;gmbh and co ohg;"
     "gmbh and cokg;gesmbh and co kg;gmbh and co;investmentkommanditgesellschaft"),
    ("kgaa", PUBLIC, False, "kgaa;kommanditgesellschaft auf aktien;se and co kgaa;ag and co kgaa;"
     "gmbh and co kgaa;and co kgaa"),
    ("ohg", PARTNERSHIP, False, "ohg;offene handelsgesellschaft"),
    ("gbr", PARTNERSHIP, False, "gbr;gesellschaft bürgerlichen rechts;partg;partgmbb;"
     "partnerschaftsgesellschaft;partg mbb"),
    ("ev", ASSOCIATION, False, "e.v;eingetragener verein"),
    ("eg", COOPERATIVE, False, "e.g;eingetragene genossenschaft;egen"),
    ("ek", SOLE, False, "e.k;e.kfm;e.kfr;e.u;eingetragener kaufmann"),
    ("se", PUBLIC, False, "se;societas europaea"),
    # French
    ("sa", PUBLIC, True, "s.a;société anonyme;s.a.e;s.a.l;saoc;saog;saa"),
    ("sas", ANY_COMPANY, False, "s.a.s;société par actions simplifiée;sasu;ssas"),
    ("sarl", PRIVATE, True, "sarl;s.à r.l;société à responsabilité limitée;eurl;sàrl;s a r l;"
     "sarl unipersonnelle;suarl"),
    ("snc", PARTNERSHIP, False, "snc;société en nom collectif"),
    ("scs", PARTNERSHIP, False, "scs;scsp;s.c.a;sca;secs;société en commandite simple;"
     "société en commandite par actions;société en commandite spéciale;société en commandite"),
    ("sci", PARTNERSHIP, True, "sci;société civile immobilière;sccv;société civile"),
    ("asbl", ASSOCIATION, True, "asbl;vzw;ivzw;aisbl"),
    ("gie", ASSOCIATION, False, "gie;eeig;eesv;ewiv"),
    # Dutch
    ("bv", PRIVATE, False, "b.v;besloten vennootschap;bvba;sprl;srl bv;bv srl;"
     "besloten vennootschap met beperkte aansprakelijkheid"),
    ("nv", PUBLIC, False, "n.v;naamloze vennootschap;nv sa;sa nv"),
    ("cv", PARTNERSHIP, True, "c.v;commanditaire vennootschap"),
    ("cv", PARTNERSHIP, False, "cvba;comm v;commv"),
    ("vof", PARTNERSHIP, True, "v.o.f;vennootschap onder firma"),
    ("stichting", FOUNDATION, True, "stichting"),
    # Spanish, Portuguese
    ("sl", PRIVATE, False, "s.l;s.l.u;sociedad limitada;s.l.p;s.l.l;sociedad limitada unipersonal;"
     "s.l sociedad unipersonal;sociedad de responsabilidad limitada;sociedad unipersonal;s.l.n.e;"
     "sociedad limitada profesional"),
    ("sa", PUBLIC, False, "s.a.u;sociedad anónima;sociedad anônima;sociedade anônima;sgps sa;"
     "sociedade anónima;s.a unipersonal;sociedad anónima unipersonal;sa esp;s.a.c;s.a.a;sgps;"
     "sociedad anónima cerrada;sociedad anonima abierta"),
    ("sa de cv", ANY_COMPANY, False, "sa de cv;s.a de c.v;sab de cv;sapi de cv;"
     "sociedad anónima de capital variable;sa de cv sofom enr;sofom enr;"
     "sociedad anónima bursátil de capital variable;sab;sapi"),
    ("s de rl", PRIVATE, False, "s de rl de cv;s.de r.l;s de rl;s.c de r.l"),
    ("ltda", PRIVATE, False, "ltda;limitada;lda;unipessoal lda;eireli;eirl;e.i.r.l;cia ltda"),
    ("sc", PARTNERSHIP, False, "s en c;s.c.p;sociedad colectiva;s.c.a.v"),
    ("me", SOLE, False, "epp;mei"),
    ("scoop", COOPERATIVE, False, "s.coop;sociedad cooperativa;scooperativa;s coop;scoop"),
    # Italian
    ("spa", PUBLIC, False, "s.p.a;società per azioni;societa' per azioni;soc per az"),
    ("srl", PRIVATE, False, "s.r.l;società a responsabilità limitata;srls;s.r.l.s;"
     "srl unipersonale;"
     "societa' a responsabilita' limitata;a responsabilità limitata;scarl;soc a r l;"
     "società a responsabilità limitata semplificata;a responsabilità limitata semplificata;"
     "srl a socio unico;società consortile a responsabilità limitata;societa a rl;s.a r.l;"
     "srl semplificata;s r l"),
    ("snc", PARTNERSHIP, False, "società in nome collettivo"),
    ("sapa", PARTNERSHIP, False, "s.a.p.a;società in accomandita per azioni;"
     "società in accomandita semplice"),
    ("soc coop", COOPERATIVE, False, "società cooperativa;soc coop;soc coop arl;"
     "società cooperativa a responsabilità limitata"),
    # Nordic, Baltic
    ("ab", ANY_COMPANY, True, "ab;aktiebolag;aktiebolaget;ab publ;publ ab;aktiebolag publ"),
    ("hb", PARTNERSHIP, False, "hb;handelsbolag;kommanditbolag;kb"),
    ("as", ANY_COMPANY, True, "a/s;aktieselskab;aksjeselskap;aktsiaselts;akciju sabiedriba"),
    ("asa", PUBLIC, False, "asa;allmennaksjeselskap"),
    ("aps", PRIVATE, False, "aps;anpartsselskab"),
    ("is", PARTNERSHIP, False, "i/s;k/s;p/s;interessentskab;kommanditselskab;partnerselskab;ans"),
    ("oy", PRIVATE, True, "oy;osakeyhtiö;oy ab;ab oy;oy ltd"),
    ("oyj", PUBLIC, False, "oyj;julkinen osakeyhtiö;oyj abp;abp"),
    ("ky", PARTNERSHIP, False, "ky;kommandiittiyhtiö"),
    ("ehf", PRIVATE, False, "ehf;einkahlutafélag"),
    ("hf", PUBLIC, False, "hf;hlutafélag"),
    ("ou", PRIVATE, True, "oü;osaühing"),
    ("sia", PRIVATE, True, "sia;sabiedrība ar ierobežotu atbildību"),
    ("uab", PRIVATE, True, "uab;uždaroji akcinė bendrovė"),
    ("akcine", PUBLIC, True, "akcinė bendrovė"),
    # Central and south-eastern Europe
    ("spzoo", PRIVATE, True, "sp z o.o;spółka z o.o;spółka z ograniczoną odpowiedzialnością;"
     "sp zoo;spzoo;z o.o"),
    ("spk", PARTNERSHIP, False, "sp k;spk;spółka komandytowa;sp j;spj;spółka jawna;sp p;s.k.a;"
     "sp z o.o sp k;spółka z ograniczoną odpowiedzialnością spółka komandytowa;"
     "spółka komandytowo akcyjna;spółka z o.o sp k;sp zoo sp k"),
    ("sa", PUBLIC, False, "spółka akcyjna;prosta spółka akcyjna"),
    ("fundacja", FOUNDATION, True, "fundacja;nadace;alapítvány;fondation;fondazione;fundación;"
     "fundação;stiftung;stiftelsen;stiftelse;fonden;säätiö"),
    ("sro", PRIVATE, False, "s.r.o;spol s r.o;společnost s ručením omezeným;spol s.r.o;"
     "spoločnosť s ručením obmedzeným"),
    ("as", PUBLIC, False, "a.s;akciová společnost;akciová spoločnosť;akc spol"),
    ("vos", PARTNERSHIP, False, "v.o.s;k.s;komanditní společnost"),
    ("kft", PRIVATE, False, "kft;korlátolt felelősségű társaság"),
    ("zrt", PUBLIC, False, "zrt;nyrt;rt;zártkörűen működő részvénytársaság;"
     "nyilvánosan működő részvénytársaság;részvénytársaság"),
    ("bt", PARTNERSHIP, False, "bt;betéti társaság;kkt"),
    ("srl", PRIVATE, True, "sc srl;societate cu răspundere limitată"),
    ("sa", PUBLIC, False, "societate pe acțiuni"),
    ("doo", PRIVATE, False, "d.o.o;društvo s ograničenom odgovornošću;д.о.о;d.o.o.e.l;jdoo;"
     "družba z omejeno odgovornostjo;društvo sa ograničenom odgovornošću"),
    ("dd", PUBLIC, False, "d.d;a.d;dioničko društvo;delniška družba;akcionarsko društvo"),
    ("ood", PRIVATE, False, "оод;еоод;ood;eood"),
    ("ad", PUBLIC, False, "ад;еад;ead;адсиц;adsits"),
    ("ae", PUBLIC, False, "α.ε;a.e;ανώνυμη εταιρεία;αβεε"),
    ("epe", PRIVATE, False, "ε.π.ε;e.p.e;μον επε;ι.κ.ε;i.k.e;εταιρεία περιορισμένης ευθύνης"),
    ("oe", PARTNERSHIP, False, "ο.ε;ε.ε"),
    ("shpk", PRIVATE, False, "sh.p.k;shpk"),
    ("sha", PUBLIC, False, "sh.a"),
    # Turkish
    ("as", PUBLIC, False, "anonim şirketi;a.ş;anonim sirketi;t.a.ş;tas"),
    ("ltd", PRIVATE, False, "ltd şti;limited şirketi;ltd sti;limited sirketi;şti"),
    # Cyrillic
    ("ooo", PRIVATE | LLC, True, "ооо;ooo;общество с ограниченной ответственностью;тов;tov;таа;"
     "товариство з обмеженою відповідальністю;тоо;too;осоо;osoo;мчж;mchj;"
     "obshchestvo s ogranichennoi otvetstvennostyu"),
    ("ao", PUBLIC, True, "ао;пао;зао;оао;ao;pao;zao;oao;акционерное общество;прат;"
     "публичное акционерное общество;закрытое акционерное общество;"
     "открытое акционерное общество;акціонерне товариство;приватне акціонерне товариство;"
     "jsc;pjsc;cjsc;ojsc;jscb;joint stock company;public joint stock company;"
     "closed joint stock company;open joint stock company;private joint stock company;нао"),
    ("ip", SOLE, False, "ип;фоп;индивидуальный предприниматель"),
    ("gup", UNSAID, True, "гуп;фгуп;муп"),
    # Near East, South and South-East Asia
    ("psc", PUBLIC, False, "psc;pjsc;ksc;kscp;kscc;qsc;qpsc;bsc;ش.م.ع;ش.م.ك;ش.م.ب;شركة مساهمة;"
     "شركة مساهمة عامة;ש.מ.ק"),
    ("wll", PRIVATE, False, "wll;spc;ذ.م.م;ش.م.م;شركة ذات مسؤولية محدودة;ذات مسؤولية محدودة"),
    ("ltd", PRIVATE, False, "בע״מ;bm;b.m"),
    ("sdn bhd", PRIVATE, False, "sdn bhd;sendirian berhad"),
    ("bhd", PUBLIC, False, "bhd;berhad"),
    ("pt", ANY_COMPANY, True, "pt;perseroan terbatas"),
    ("tbk", PUBLIC, False, "tbk;persero tbk;pcl;public company limited"),
    ("pvt ltd", PRIVATE, False, "प्राइवेट लिमिटेड;लिमिटेड;লিমিটেড;பிரைவேட் லிமிடெட்"),
    ("ltd", PRIVATE, True, "công ty tnhh;tnhh;cong ty tnhh"),
    ("jsc", PUBLIC, True, "công ty cổ phần;cong ty co phan;ctcp"),
    ("kk", PUBLIC, False, "k.k;kabushiki kaisha;kabushiki gaisha;kabushikikaisha"),
    ("gk", PRIVATE, False, "g.k;godo kaisha;y.k;yugen kaisha"),
    # Standings that say nothing of the form
    ("", UNSAID, False, "publ;in liquidation;in liquidazione;en liquidación;en liquidation;i.l;"
     "i.liqu;unipersonal;unipersonale;unipersonnelle;in administration;in receivership;"
     "en formation;i.gr;dba;socio unico;con socio unico;a socio unico"),
)  # fmt: skip

UNSPACED: tuple[tuple[str, str], ...] = (
    ("股份有限责任公司", "kk"),
    ("股份有限公司", "kk"),
    ("有限责任公司", "co ltd"),
    ("有限責任公司", "co ltd"),
    ("集团有限公司", "co ltd"),
    ("有限公司", "co ltd"),
    ("株式会社", "kk"),
    ("株式會社", "kk"),
    ("(株)", "kk"),
    ("有限会社", "gk"),
    ("合同会社", "gk"),
    ("(有)", "gk"),
    ("(同)", "gk"),
    ("합자회사", "lp"),
    ("유한책임회사", "llc"),
    ("유한회사", "gk"),
    ("주식회사", "kk"),
    ("(주)", "kk"),
    ("(유)", "gk"),
    ("บริษัท", "co"),
    ("จำกัด", "ltd"),
    ("(มหาชน)", "plc"),
)
"""Forms of scripts that write no spaces, after NFKC, and the Latin form that they stand for."""
