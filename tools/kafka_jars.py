"""Apache Kafka's jars, brought by Maven once and kept under build/."""

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

KAFKA_VERSION = "4.1.1"
JAVA_OLDEST = 17

CACHE = Path(__file__).resolve().parents[1] / "build" / "kafka"

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>riverrun</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{kafka}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

INSTALL = "Debian, Ubuntu: apt-get install default-jre-headless maven"


class NoKafka(RuntimeError):
    """Apache Kafka cannot run here; the message says why, and what to install."""


def find_java() -> Path:
    """The `java` on PATH, if it can run Kafka 4; raises NoKafka."""
    java = shutil.which("java")
    if java is None:
        raise NoKafka(
            f"Apache Kafka needs Java {JAVA_OLDEST} or later, and there is no `java` on PATH. {INSTALL}"
        )
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA_OLDEST:
        first_line = said.splitlines()[0] if said else "an unknown version"
        raise NoKafka(
            f"Apache Kafka {KAFKA_VERSION} needs Java {JAVA_OLDEST} or later; {java} is {first_line}"
        )
    return Path(java)


def classpath() -> str:
    """The classpath of Kafka and all it needs; downloads it the first time. Raises NoKafka."""
    libs = CACHE / f"libs-{KAFKA_VERSION}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not libs.is_dir():
            _download(libs)
    return f"{libs}/*"


def _download(libs: Path) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise NoKafka(f"Apache Kafka's jars come through Maven, and there is no `mvn` on PATH. {INSTALL}")
    partial = libs.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (CACHE / "pom.xml").write_text(POM.format(kafka=KAFKA_VERSION))
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
    command = [mvn, "--batch-mode", "--quiet", "--file", str(CACHE / "pom.xml"), *goal]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=480)
    if done.returncode != 0 or not any(partial.glob("kafka_2.13-*.jar")):
        errors = [line for line in (done.stdout + done.stderr).splitlines() if "[ERROR]" in line]
        raise NoKafka(
            f"Maven could not bring Apache Kafka {KAFKA_VERSION} (is Maven Central in reach?):\n"
            + "\n".join(f"  {line}" for line in errors[:4])
        )
    partial.rename(libs)
