"""Other words for what LoRAs show, English and Spanish, none of which is their name; made up for this."""

from __future__ import annotations

PARAPHRASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "alice in wonderland": (
        ("a girl in a blue pinafore at the mad hatter's tea party", "a child follows the white rabbit down the hole"),
        ("una niña en la merienda del sombrerero loco",),
    ),
    "amazon": (("a warrior woman of the jungle tribe with a spear",), ("una guerrera de la selva con lanza",)),
    "armor": (("a warrior clad in steel plates", "a knight's breastplate and greaves"), ("un guerrero con coraza",)),
    "aurora": (
        ("northern lights dance over a frozen lake", "a green polar glow in the night sky"),
        ("luces del norte sobre un lago helado",),
    ),
    "back view perspective": (
        ("a boy seen from behind", "we see only the person's back"),
        ("un chico visto por detrás", "de espaldas a la cámara"),
    ),
    "bag under eye": (
        ("she has not slept for days and it shows beneath her eyes", "a face with dark circles"),
        ("con ojeras muy marcadas",),
    ),
    "bedroom": (
        ("a cosy place to sleep with a big bed", "an unmade bed in the morning sun"),
        ("un dormitorio con la cama sin hacer",),
    ),
    "bikini": (("a woman in two-piece swimwear at the pool",), ("una mujer en traje de baño de dos piezas",)),
    "bikini armor": (("a barbarian with metal swimwear and pauldrons",), ("una bárbara con armadura muy ligera",)),
    "brass instrument": (
        ("a trumpet player under a street lamp", "a marching band with tubas and trombones"),
        ("un músico toca la trompeta",),
    ),
    "broken glass": (
        ("shards of a shattered window on the floor", "a mirror in a thousand pieces"),
        ("cristales rotos por el suelo",),
    ),
    "bronze statue": (
        ("a metal monument of a general on a horse in the square",),
        ("un monumento de metal en la plaza",),
    ),
    "bunny girl": (("a casino waitress with long ears and a bow tie",), ("una camarera con orejas de conejo",)),
    "cartoon portrait": (("a caricature of my uncle with a big nose",), ("una caricatura de mi tío",)),
    "cartoon cute sticker": (("an adorable decal of a duck with a white border",), ("una pegatina de un pato",)),
    "cherry blossoms": (
        ("pink petals fall from the trees along the river in spring", "sakura in full bloom"),
        ("cerezos en flor junto al río",),
    ),
    "chocolate": (("a bar of dark cocoa melts over strawberries",), ("cacao derretido sobre fresas",)),
    "cloud": (
        ("a sky full of white cumulus", "towers of vapor over the sea"),
        ("un cielo cubierto de nubarrones", "nubes blancas"),
    ),
    "comic sketch": (("rough pencil panels of a superhero page",), ("viñetas dibujadas a lápiz",)),
    "cowboy": (
        ("a gunslinger in a wide hat rides through the desert", "a rancher with a lasso"),
        ("un vaquero con su caballo", "un pistolero del oeste"),
    ),
    "dark fantasy": (("a grim medieval world of demons and ruins",), ("un mundo medieval tenebroso con demonios",)),
    "disney renaissance": (
        ("an animated princess film as they were made in the early nineties",),
        ("una película animada de princesas de los noventa",),
    ),
    "dragon crown": (("a queen with a headpiece shaped like a winged reptile",), ()),
    "exotic dance": (("a performer on a pole in a night club",), ("una bailarina en la barra de un club",)),
    "factory": (
        ("an assembly line with conveyor belts", "workers among chimneys and machines"),
        ("una cadena de montaje", "obreros entre máquinas y chimeneas"),
    ),
    "factory ruin": (
        ("a derelict plant overgrown with ivy", "an abandoned mill with broken windows"),
        ("una nave industrial abandonada",),
    ),
    "fairy tale": (
        ("once upon a time: a cottage of gingerbread and two lost children",),
        ("érase una vez una casita de jengibre", "un cuento de hadas"),
    ),
    "fire": (("a house in flames", "a campfire burns in the dark"), ("una casa en llamas", "una hoguera en la noche")),
    "fitting room": (
        ("a customer tries on clothes behind the curtain of a shop",),
        ("un probador de una tienda de ropa",),
    ),
    "flat illustration": (
        ("simple shapes without shading, as on a company website",),
        ("formas sencillas sin sombras",),
    ),
    "flower field": (
        ("a meadow of poppies up to the horizon", "tulips in endless rows"),
        ("un prado lleno de amapolas",),
    ),
    "flower dress": (("a gown made of petals and leaves",), ("un vestido hecho de pétalos",)),
    "food photography": (
        ("a stack of pancakes with syrup, shot for a cookbook", "a close view of a steaming soup"),
        ("un plato de pasta fotografiado para un libro de cocina",),
    ),
    "full body": (
        ("shown from head to toe", "the whole figure with the shoes visible"),
        ("de cuerpo entero", "de la cabeza a los pies"),
    ),
    "glass hair": (("her locks are transparent crystal",), ("su melena es de cristal transparente",)),
    "glowing eye": (
        ("his pupils shine red in the dark", "a beast whose gaze gives off light"),
        ("sus pupilas brillan en la oscuridad",),
    ),
    "goth girl": (
        ("a young woman in black lace with pale skin and dark lipstick",),
        ("una chica pálida vestida de encaje negro",),
    ),
    "graphic design": (("a bold poster layout with big letters",), ("un cartel con letras grandes",)),
    "halloween": (
        ("kids in costumes go trick or treating among carved pumpkins",),
        ("calabazas talladas y niños disfrazados",),
    ),
    "hand painted portrait": (("a face in oils on canvas, brush marks visible",), ("un rostro al óleo sobre lienzo",)),
    "heart shaped hand": (("she forms a love sign with her fingers",), ("hace un corazón con los dedos",)),
    "high heel": (("a woman in stilettos", "red pumps on wet asphalt"), ("zapatos de tacón", "una mujer con tacones")),
    "high kick": (("a karate fighter's foot flies above his head",), ("una patada por encima de la cabeza",)),
    "hug from behind": (
        ("he embraces her around the waist while she cooks, his chin on her shoulder",),
        ("la abraza por la espalda",),
    ),
    "incoming kiss": (("she leans towards the camera with puckered lips",), ("acerca los labios a la cámara",)),
    "large window": (("a room with panes from floor to ceiling over the city",), ("un ventanal sobre la ciudad",)),
    "lego": (
        ("a castle built of plastic bricks", "toy figures with yellow heads"),
        ("un castillo de bloques de plástico",),
    ),
    "long tongue": (("a demon licks its chin",), ("una lengua larguísima",)),
    "maid costume": (
        ("a servant in a frilly apron and cap", "a cleaning lady in black and white uniform"),
        ("una criada con delantal y cofia", "una sirvienta con uniforme"),
    ),
    "mask": (
        ("his face is hidden behind painted wood", "a carnival guest who hides her face"),
        ("con el rostro cubierto", "una máscara de carnaval"),
    ),
    "micro bikini": (("the tiniest swimwear on the beach",), ("un bañador diminuto",)),
    "monster attack": (
        ("a giant beast tramples the city and people flee",),
        ("una bestia gigante destruye la ciudad",),
    ),
    "music instrument store": (
        ("a shop with guitars and violins on the wall",),
        ("una tienda de guitarras y violines",),
    ),
    "neon light": (
        ("glowing tube signs in pink and blue", "a bar sign lights the wet street"),
        ("letreros luminosos de colores",),
    ),
    "neon punk": (("a rebel with glowing tubes on a leather jacket in a future city",), ()),
    "newspaper": (
        ("a front page with headlines and a grainy photo",),
        ("la portada de un periódico", "un diario con titulares"),
    ),
    "octopus": (("a creature with eight arms and suckers",), ("un pulpo",)),
    "orc": (("a green brute with tusks and an axe",), ("un bruto verde con colmillos",)),
    "painted miniature": (
        ("a tiny tabletop wargame figure on a round base",),
        ("una figurita pintada para juegos de mesa",),
    ),
    "paper cut": (
        ("layers of colored card with clean edges and shadows", "a landscape made of folded paper"),
        ("capas de cartulina recortada",),
    ),
    "pencil drawing": (
        ("graphite on rough paper, hatching", "a sketch in lead"),
        ("un dibujo a lápiz", "trazos de grafito"),
    ),
    "pirate punk": (("a buccaneer with piercings and a mohawk",), ("un bucanero con cresta",)),
    "pixelart": (("blocky 8-bit graphics as on an old console",), ("gráficos de consola antigua con cuadraditos",)),
    "planet": (
        ("a ringed world among the stars", "Saturn seen from one of its moons"),
        ("un mundo con anillos entre las estrellas",),
    ),
    "plastic bag": (("a shopping carrier blows in the wind",), ("una bolsa de la compra que vuela",)),
    "rabbit": (("a small furry animal with long ears eats a carrot",), ("un conejo come una zanahoria",)),
    "rain": (
        ("it pours and everybody runs for shelter", "drops run down the pane"),
        ("llueve a cántaros", "gotas en el cristal"),
    ),
    "recording booth": (
        ("a singer with headphones at a studio microphone behind glass",),
        ("una cantante en el estudio con auriculares",),
    ),
    "retro anime": (
        ("a Japanese cartoon as it looked on television in 1985",),
        ("dibujos japoneses de los años ochenta",),
    ),
    "short hair": (("a woman with a pixie cut", "cropped locks above the ears"), ("una mujer con el pelo corto",)),
    "shower": (("a man washes under running water, steam on the glass door",), ("un hombre en la ducha",)),
    "side view perspective": (("a profile of a man looking left",), ("un hombre de perfil",)),
    "skeleton": (("bones walk through the graveyard",), ("un esqueleto", "huesos que caminan")),
    "snake eye": (("pupils like vertical slits, as reptiles have",), ("pupilas verticales como las de una serpiente",)),
    "snake hair": (("Medusa with hissing serpents on her head",), ("Medusa con serpientes en la cabeza",)),
    "spider man": (
        ("Peter Parker climbs a skyscraper in his red and blue costume",),
        ("el hombre araña trepa por un rascacielos",),
    ),
    "spider web": (("silk threads with dew drops between two branches",), ("una telaraña con gotas de rocío",)),
    "stained glass": (
        ("a cathedral window of colored panes with lead lines",),
        ("la vidriera de una catedral", "vitrales de colores"),
    ),
    "sunset scenery": (
        ("an orange evening sky over the bay", "the sun sinks into the sea"),
        ("el sol se hunde en el mar", "un atardecer naranja"),
    ),
    "super mario": (("the plumber with the red cap jumps on mushrooms",), ("el fontanero de la gorra roja",)),
    "tattoo": (
        ("his arms are covered with inked dragons", "ink on skin"),
        ("brazos cubiertos de tinta", "un tatuaje de dragón"),
    ),
    "umbrella": (("she shelters from the rain under a parasol",), ("se protege de la lluvia con un paraguas",)),
    "victorian punk": (("a lady of the nineteenth century with corset and pink mohawk",), ()),
    "vehicle": (("a truck with six wheels on a muddy road",), ("un camión de seis ruedas",)),
    "viking punk": (("a norse raider with tattoos and studs",), ("un guerrero nórdico con tachuelas",)),
    "vintage illustration": (("an engraving as in a book of 1890",), ("un grabado de un libro antiguo",)),
    "watercolor": (("soft washes of paint on wet paper",), ("una acuarela", "pintura aguada sobre papel")),
    "watercolor painting": (
        ("aquarelle of a harbour", "transparent washes that bleed into each other"),
        ("una acuarela de un puerto",),
    ),
    "western dragon": (("a winged fire breathing reptile guards its gold",), ("un reptil alado que escupe fuego",)),
    "whale": (
        ("a humpback breaches beside the boat", "the biggest animal of the ocean"),
        ("una ballena salta junto al barco", "el animal más grande del mar"),
    ),
    "yarn": (
        ("balls of wool and two knitting needles", "a crocheted teddy bear"),
        ("ovillos de lana y agujas", "un osito de ganchillo"),
    ),
}
"""Key of a LoRA's name → other words for it in English, and in Spanish."""

SPANISH_EVERYDAY = (
    *(
        "una mujer con un vestido rojo",
        "un hombre con camisa y corbata",
        "una chica con falda larga",
        "un perro marrón",
    ),
    *("un gato en el sofá", "una niña con abrigo azul", "un chico con chaqueta vaquera", "una casa de piedra"),
    *(
        "un árbol viejo",
        "un coche verde",
        "dos amigos en un banco",
        "una mesa con pan y queso",
        "un anciano con bastón",
    ),
    *("una ventana abierta", "un barco pequeño", "una calle estrecha", "un retrato de mi hermana", "un caballo blanco"),
    *("una cocina antigua", "un plato de arroz", "una bicicleta contra la pared", "un puente sobre el río"),
    *(
        "una mujer con sombrero y gafas",
        "un soldado con casco",
        "una señora con paraguas negro",
        "un disfraz de payaso",
    ),
    *("una boda en el campo", "una flor amarilla", "un bosque de pinos", "una botella de vino", "un reloj en la torre"),
)
"""Things and people of any picture."""
